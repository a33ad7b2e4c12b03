"""Evidence of an answer: the gradient of its log-probability with respect to a uniform map.

The rows that predict the answer are read with part of their attention on a uniform map. Where the
gradient is large, more attention would have made the answer likelier. Standardised over the image
it stands for log p(answer | place) up to a constant. Adapters are taught by it
(`training.adapter.evidence` asks for many questions of an image at once).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from vif.model.attention import Tap
from vif.model.batch import Batch
from vif.model.generation import open_stream
from vif.model.rows import Mix

FIRST_LAYER = 1  # the first where the uniform map is mixed in
STRENGTH, SHARPNESS = 0.8, 2.0
# An answer that more attention would gain fewer nats than this says less about places.
FULL_GAIN = 1.0
FLAT = 1e-9  # a gradient that varies less says nothing about places


class UniformMap(Tap):
    """Mixes a uniform map into all rows from the last of the prompt on, and is differentiated by.

    Attributes:
        visible: Which image tokens lie on the image, (B, N) bool.
    """

    def __init__(self, batch: Batch, num_heads: int, strength: float = STRENGTH) -> None:
        self.visible = ~batch.centres.isnan().any(-1)
        shown = self.visible.float()
        self._map = (shown / shown.sum(1, keepdim=True).clamp_min(1)).requires_grad_(True)
        share = shown.new_full((len(batch), num_heads), strength)
        last = torch.full_like(batch.first_row, batch.inputs["input_ids"].shape[1] - 1)
        self._mix = Mix(batch.columns, self._map, share, last)

    @override
    def mix(self, layer: int) -> Mix | None:
        return self._mix if layer >= FIRST_LAYER else None

    def gradient(self, score: torch.Tensor) -> torch.Tensor:
        """Of a sum over the batch, by every prompt's map, (B, N); the graph is kept."""
        return torch.autograd.grad(score, self._map, retain_graph=True)[0]


def standardised(gradient: torch.Tensor, visible: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Gradients in standard deviations from their mean over the image.

    Args:
        gradient: (B, N).
        visible: (B, N) bool.

    Returns:
        Scores (B, N) float64 on the CPU, 0 off the image; which of them say anything, (B, 1) bool:
        a gradient that is flat or not finite does not; and the standard deviation, (B, 1).
    """
    gradient, visible = gradient.detach().double().cpu(), visible.cpu()
    count = visible.sum(1, keepdim=True).clamp_min(1)
    known = gradient.isfinite().all(1, keepdim=True)
    gradient = torch.where(visible & known, gradient, 0.0)
    mean = gradient.sum(1, keepdim=True) / count
    gap = torch.where(visible, gradient - mean, 0.0)
    spread = (gap.square().sum(1, keepdim=True) / count).sqrt()
    known = known & (spread > FLAT)
    return gap / spread.clamp_min(FLAT) * known, known, spread


def log_likelihood(
    model: torch.nn.Module, batch: Batch, num_heads: int, answers: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Log p(answer | place) up to a constant, as an adapter's teacher has it.

    Args:
        model: A transformers model with `vif.model.attention` installed.
        batch: B prompts.
        num_heads: Attention heads of a layer.
        answers: Token ids of one answer per prompt, one at least.

    Returns:
        (B, N) float64 on the CPU; 0 where an answer says nothing about places.
    """
    device = batch.centres.device
    stream = open_stream(model, dict(batch.inputs))
    with torch.enable_grad():
        tap = UniformMap(batch, num_heads)
        total = torch.zeros(len(batch), device=device)
        for step in range(max(map(len, answers))):
            scores = stream.advance(tap, gradients=True).log_softmax(-1).to(device)
            # An answer that has ended reads its last token again, which no longer counts.
            ids = [answer[min(step, len(answer) - 1)] for answer in answers]
            tokens = torch.tensor(ids, device=device)
            counts = torch.tensor([step < len(answer) for answer in answers], device=device)
            total = total + counts * scores.gather(1, tokens[:, None]).squeeze(1)
            stream.feed(tokens)
        scores, _, spread = standardised(tap.gradient(total.sum()), tap.visible)
    gain = (STRENGTH * (scores * spread).amax(1, keepdim=True) / FULL_GAIN).clamp(0, 1)
    return SHARPNESS * gain * scores
