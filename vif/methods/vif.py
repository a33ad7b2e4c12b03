"""Injection of a map into deep layers, and VIF, which reads the map with its adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from typing_extensions import override

from vif.adapter import VIFAdapter
from vif.adapter.mixture import MixtureParameters
from vif.errors import InputError
from vif.methods.base import Group, Method, Request, register
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.model.prompt import IMAGE_PART, OTHER_IMAGES_PART
from vif.model.rows import Mix
from vif.recording import Recorder
from vif.trace import Mixture


class SteeringMap(NamedTuple):
    """A mixture with its map and strength, for B prompts.

    Attributes:
        mixture: In image coordinates.
        map: (B, N), rows sum to 1, or to 0 where nothing is known.
        gate: Factor on alpha, (B, num_layers, num_heads).
        renderer: Which of `vif.adapter.mixture.RENDERERS` made the map.
    """

    mixture: MixtureParameters
    map: torch.Tensor
    gate: torch.Tensor
    renderer: str = "density"


# From a request, a draw and its index to what is injected instead of the draw's own.
Choose = Callable[[Request, SteeringMap, int], tuple[MixtureParameters, torch.Tensor]]


def as_drawn(_: Request, draw: SteeringMap, __: int) -> tuple[MixtureParameters, torch.Tensor]:
    """Uses the mixture as it was drawn."""
    return draw.mixture, draw.map


class InjectingTap(Recorder):
    """Mixes maps in at injection layers; subclasses say where the maps come from, and when.

    Prompt rows after the image and all generated rows are steered alike. The published code steers
    the prompt only, which leaves generated tokens to forget the image again.
    """

    def __init__(self, request: Request, choose: Choose = as_drawn) -> None:
        super().__init__(request.batch)
        self.request, self.choose = request, choose
        self.mixes: dict[int, Mix] = {}

    @override
    def mix(self, layer: int) -> Mix | None:
        """What was prepared for this layer."""
        if self.position > 0 and self.request.settings.phase == "prefill":
            return None
        return self.mixes.get(layer)

    def inject(self, layers: Iterable[int], source: int, draws: list[SteeringMap]) -> None:
        """Prepares layers with the average of draws.

        Args:
            layers: Injection layers.
            source: As in `vif.trace.Mixture`.
            draws: Of the same latent, one at least.
        """
        chosen = [self.choose(self.request, draw, i) for i, draw in enumerate(draws)]
        # The average of maps is the map of all their components together.
        means, sigmas = (torch.cat([mixture[i] for mixture, _ in chosen], 1) for i in range(2))
        weights = torch.cat([mixture.weights for mixture, _ in chosen], 1) / len(chosen)
        maps = torch.stack([weights_of_tokens for _, weights_of_tokens in chosen])
        gates = torch.stack([draw.gate for draw in draws]).mean(0)
        # A map of zeros means that nothing is known: nothing is injected.
        known = maps.mean(0).sum(1, keepdim=True) > 0
        spread = maps.std(0, correction=0)
        for layer in layers:
            strength = (self.request.settings.alpha * gates[:, layer]).clamp(0, 1) * known
            self.mixes[layer] = Mix(
                self.batch.columns, maps.mean(0), strength, self.batch.first_row
            )
            arrays = (means, sigmas, weights, maps.mean(0), strength, spread)
            for i, found in enumerate(self.mixtures):
                found.append(Mixture(layer, source, *(a[i].float().cpu().numpy() for a in arrays)))


class MixingTap(InjectingTap):
    """Reads the latent at learning layers, injects its map at the layers that belong to them."""

    def __init__(self, request: Request, adapter: VIFAdapter, choose: Choose = as_drawn) -> None:
        super().__init__(request, choose)
        self.adapter = adapter
        self.sources = request.settings.sources()

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """At a learning layer of the prefill: infer, and prepare the layers that depend on it."""
        if self.position > 0 or layer not in self.sources.values():
            return
        targets = [target for target, source in self.sources.items() if source == layer]
        self.inject(targets, layer, self._infer(states))

    def _infer(self, states: torch.Tensor) -> list[SteeringMap]:
        batch, settings, adapter = self.batch, self.request.settings, self.adapter
        states = states.to(batch.columns.device)
        index = batch.columns[..., None].expand(-1, -1, states.shape[-1])
        memory = adapter.remember(states.gather(1, index), batch.centres)
        latent = adapter.latent(memory.tokens, *_packed(states, rows_read(adapter, batch)))
        latents = [latent.mean]
        if settings.samples > 0:
            generator = torch.Generator().manual_seed(settings.seed)
            latents = [adapter.draw(latent, generator) for _ in range(settings.samples)]
        draws = []
        for z in latents:
            out = adapter.render(memory, z)
            mixture = MixtureParameters(out.means, out.sigmas, out.weights)
            placed = adapter.place(mixture, batch.centres)
            draws.append(SteeringMap(placed, out.map, out.gate, adapter.config.renderer))
        return draws


def rows_read(adapter: VIFAdapter, batch: Batch) -> torch.Tensor:
    """Which rows of the prompt an adapter reads as the question, (B, S) bool."""
    if not adapter.reads_whole_prompt:
        return batch.question
    is_image = (batch.parts == IMAGE_PART) | (batch.parts == OTHER_IMAGES_PART)
    return batch.inputs["attention_mask"].bool() & ~is_image


def _packed(states: torch.Tensor, marked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Moves marked states together, so that no work is done for the many rows of the image.

    Args:
        states: (B, S, hidden).
        marked: (B, S) bool.

    Returns:
        Marked states in their order, (B, T, hidden) float32, T the most of a prompt; and which of
        them are no padding, (B, T) bool.
    """
    most = int(marked.sum(1).max())
    index = marked.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    chosen = states.gather(1, index[..., None].expand(-1, -1, states.shape[-1]))
    return chosen.float(), marked.gather(1, index)


@register
class VIF(Method):
    """Variational Information Flow, arXiv 2604.12508."""

    name = "vif"
    label = "VIF"
    group = Group.MODEL
    colour = "#e4550a"
    summary = "A learned mixture steers attention back to the image."
    uses_ranges = True

    @override
    def obstacle(self, backbone: Backbone, adapter: VIFAdapter | None) -> str:
        """The reason if no adapter is loaded; "" if one is."""
        if adapter is not None:
            return ""
        return (
            "Method 'vif' needs a VIF adapter, and none is loaded: give one with --adapter, or "
            "choose 'vif-free', which needs none."
        )

    @override
    def tap(self, request: Request) -> MixingTap:
        """Injects the adapter's mixtures; raises `InputError` without an adapter."""
        if request.adapter is None:
            raise InputError(self.obstacle(request.backbone, None))
        return MixingTap(request, request.adapter)
