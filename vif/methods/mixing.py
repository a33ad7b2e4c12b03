"""VIF, and the controls that share its edit: same layers, same strength, another map."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from typing_extensions import override

from vif.adapter import Rendered, VIFAdapter
from vif.attention import Mix
from vif.errors import InputError
from vif.lens import Recorder
from vif.methods.base import Method, Request, register
from vif.mixture import MixtureParameters, render
from vif.trace import Mixture


class MixingTap(Recorder):
    """Reads the latent at learning layers, mixes its map in at injection layers.

    Prompt rows after the image and all generated rows are steered alike (the published code steers
    the prompt only, which leaves generated tokens to forget the image again).
    """

    def __init__(self, request: Request, adapter: VIFAdapter) -> None:
        super().__init__(request.batch)
        self.request, self.adapter = request, adapter
        self.sources = request.settings.sources()
        self.mixes: dict[int, Mix] = {}

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """At a learning layer of the prefill: infer, and prepare the layers that depend on it."""
        if self.position > 0 or layer not in self.sources.values():
            return
        draws = self._infer(states)
        for target in (t for t, source in self.sources.items() if source == layer):
            self._prepare(target, layer, draws)

    @override
    def mix(self, layer: int) -> Mix | None:
        """What was prepared for this layer."""
        return self.mixes.get(layer)

    def choose(
        self,
        draw: Rendered,
        index: int,  # noqa: ARG002
    ) -> tuple[MixtureParameters, torch.Tensor]:
        """Mixture and map of the index-th latent draw; controls override it."""
        return MixtureParameters(draw.means, draw.sigmas, draw.weights), draw.map

    def _infer(self, states: torch.Tensor) -> list[Rendered]:
        batch, settings = self.batch, self.request.settings
        index = batch.columns[..., None].expand(-1, -1, states.shape[-1])
        memory = self.adapter.remember(states.gather(1, index), batch.centres)
        latent = self.adapter.latent(memory.tokens, states.float(), batch.question)
        if settings.samples == 0:
            return [self.adapter.render(memory, latent.mean)]
        generator = torch.Generator().manual_seed(settings.seed)
        draws = [self.adapter.draw(latent, generator) for _ in range(settings.samples)]
        return [self.adapter.render(memory, z) for z in draws]

    def _prepare(self, layer: int, source: int, draws: list[Rendered]) -> None:
        chosen = [self.choose(draw, i) for i, draw in enumerate(draws)]
        # The average of maps is the map of all their components together.
        means, sigmas = (torch.cat([m[i] for m, _ in chosen], 1) for i in range(2))
        weights = torch.cat([m.weights for m, _ in chosen], 1) / len(chosen)
        maps = torch.stack([weights_of_tokens for _, weights_of_tokens in chosen])
        gate = torch.stack([draw.gate[:, layer] for draw in draws]).mean(0)
        strength = (self.request.settings.alpha * gate).clamp(0, 1)
        # A map of zeros means that nothing is known: nothing is injected.
        strength = strength * (maps.mean(0).sum(1, keepdim=True) > 0)
        self.mixes[layer] = Mix(self.batch.columns, maps.mean(0), strength, self.batch.first_row)
        spread = maps.std(0, correction=0)
        arrays = (means, sigmas, weights, maps.mean(0), strength, spread)
        for i, found in enumerate(self.mixtures):
            found.append(Mixture(layer, source, *(a[i].float().cpu().numpy() for a in arrays)))


class ControlTap(MixingTap, ABC):
    """A map without components; the strength stays that of VIF."""

    @abstractmethod
    def tokens(self, draw: Rendered) -> torch.Tensor:
        """The map, (B, N)."""

    @override
    def choose(self, draw: Rendered, index: int) -> tuple[MixtureParameters, torch.Tensor]:
        """No components, the map of `tokens`."""
        none = MixtureParameters(draw.means[:, :0], draw.sigmas[:, :0], draw.weights[:, :0])
        return none, self.tokens(draw)


class UniformTap(ControlTap):
    """Every image token alike."""

    @override
    def tokens(self, draw: Rendered) -> torch.Tensor:
        """1 / N on tokens that lie on the image."""
        visible = ~self.batch.centres.isnan().any(-1)
        return visible / visible.sum(1, keepdim=True)


class OracleTap(ControlTap):
    """The true box."""

    @override
    def tokens(self, draw: Rendered) -> torch.Tensor:
        """The given truth."""
        return self.request.truth.to(draw.map)


class RandomTap(MixingTap):
    """VIF's own mixture, its components moved to random places."""

    @override
    def choose(self, draw: Rendered, index: int) -> tuple[MixtureParameters, torch.Tensor]:
        """Same sigmas and weights, means drawn by (seed, position in the batch)."""
        seed = self.request.settings.seed
        means = torch.stack(
            [
                torch.rand(draw.means.shape[1:], generator=torch.Generator().manual_seed(s))
                for s in (1_000_003 * (seed + 1) + 8191 * index + i for i in range(len(draw.map)))
            ]
        )
        moved = MixtureParameters(means.to(draw.means), draw.sigmas, draw.weights)
        return moved, render(moved, self.batch.centres, self.adapter.config.renderer)


class Mixing(Method):
    """A method that mixes a map into attention."""

    tap_class: type[MixingTap]

    def tap(self, request: Request) -> MixingTap:
        """The tap with the request's adapter."""
        if request.adapter is None:
            raise InputError(
                f"Method {self.name!r} needs a VIF adapter and none is loaded: give one with "
                "--adapter, or choose 'plain'."
            )
        return self.tap_class(request, request.adapter)


@register
class VIF(Mixing):
    """Variational Information Flow, arXiv 2604.12508."""

    name = "vif"
    summary = "A learned Gaussian mixture steers deep layers back to the image."
    tap_class = MixingTap


@register
class Uniform(Mixing):
    """Control: more image, no place in particular."""

    name = "uniform"
    summary = "Control: the same strength, spread evenly over the image."
    tap_class = UniformTap


@register
class Random(Mixing):
    """Control: a place, but any."""

    name = "random"
    summary = "Control: the same mixture at random places."
    tap_class = RandomTap


@register
class Oracle(Mixing):
    """Upper bound: the true place."""

    name = "oracle"
    summary = "Upper bound: the same strength on the true box."
    tap_class = OracleTap

    def tap(self, request: Request) -> MixingTap:
        """Needs the truth."""
        if request.truth is None:
            raise InputError("Method 'oracle' needs the true boxes: give boxes=[(x0, y0, x1, y1)].")
        return super().tap(request)
