"""One training step's view of VIF: reads the latent at one layer, steers packed questions."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import LlavaForConditionalGeneration
from typing_extensions import override

from training.lanes import LaneMix, LaneTap
from training.pretrain import answer_logits
from training.processor import SIDE
from vif.adapter import Rendered, VIFAdapter
from vif.latent import kl_divergence
from vif.mixture import grid_centres
from vif.settings import Settings


class Enough(Exception):
    """The states that were wanted are there; the layers above need not run."""


class Steering(LaneTap):
    """Reads the latent at one learning layer and steers all injection layers with it.

    Attributes:
        out: What was rendered, (B * M, ...).
        kl: (B * M,), zeros for a prior step.
    """

    def __init__(
        self,
        adapter: VIFAdapter,
        batch: dict[str, torch.Tensor],
        settings: Settings,
        posterior: bool,
        noise: torch.Tensor | float = 0.0,
        fixed_gate: bool = False,
        map_only: bool = False,
    ) -> None:
        super().__init__()
        self.adapter, self.batch, self.settings = adapter, batch, settings
        (self.layer,) = settings.learning_layers
        self.posterior, self.noise = posterior, noise
        self.fixed_gate, self.map_only = fixed_gate, map_only
        self.valid = batch["family"].flatten() >= 0
        self.out: Rendered | None = None
        self.kl = torch.zeros(len(self.valid))

    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """Infers at the learning layer."""
        if layer != self.layer:
            return
        batch, adapter = self.batch, self.adapter
        number = SIDE * SIDE
        memory = adapter.remember(states[:, :number], grid_centres(SIDE, SIDE))
        size, most, length = batch["read"].shape
        index = batch["read"].reshape(size, -1, 1).expand(-1, -1, states.shape[-1])
        text = states[:, number:].gather(1, index).reshape(size * most, length, -1)
        question = batch["is_question"].flatten(0, 1).clone()
        question[~self.valid, 0] = True
        latent = prior = adapter.latent(memory.tokens, text, question)
        if self.posterior:
            answer = batch["is_answer"].flatten(0, 1)
            latent = adapter.latent(memory.tokens, text, question, answer)
            self.kl = kl_divergence(latent, prior)
        self.out = adapter.render(memory, latent.sample(self.noise))
        if self.map_only:
            raise Enough
        gate = torch.ones_like(self.out.gate) if self.fixed_gate else self.out.gate
        self._prepare(self.out.map, gate)

    def _prepare(self, weights: torch.Tensor, gate: torch.Tensor) -> None:
        weights = weights.unflatten(0, self.batch["family"].shape)
        for layer in self.settings.injection_layers:
            strength = (self.settings.alpha * gate[:, layer]).clamp(0, 1)
            strength = strength.unflatten(0, self.batch["family"].shape)
            self.mixes[layer] = LaneMix(weights, strength, self.batch["block"])


class Truth(Steering):
    """The same strength on the true boxes; nothing where there is none."""

    @override
    def _prepare(self, weights: torch.Tensor, gate: torch.Tensor) -> None:
        truth = self.batch["target"].flatten(0, 1)
        known = truth.sum(-1) > 0
        super()._prepare(truth, gate * known[:, None, None])


def box_loss(out: Rendered, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the map, and of the pointing behind it, against the true boxes.

    Args:
        out: Rendered latents of Q questions.
        target: (Q, N), rows sum to 1, zeros where nothing is known.

    Returns:
        Mean over questions with a truth.
    """
    known = target.sum(-1) > 0
    pointing = (out.weights[..., None] * out.pointing).sum(1)
    loss = sum(-(target * p.clamp_min(1e-9).log()).sum(-1) for p in (out.map, pointing))
    return loss[known].mean()


def forward(
    model: LlavaForConditionalGeneration, batch: dict[str, torch.Tensor], tap: LaneTap | None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Answer logits and labels, None where the tap needs no answers."""
    try:
        # The backward pass of the fused CPU kernel takes longer than plain matrix products.
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            logits, labels, _ = answer_logits(model, batch, tap)
    except Enough:
        return None
    return logits, labels
