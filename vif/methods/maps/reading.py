"""Passes that record attention without changing it; maps are made from the records."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from typing_extensions import override

from vif.methods.base import Request
from vif.model.attention import PassEnded, Tap
from vif.model.batch import Batch
from vif.model.edits import Edit, Rows
from vif.model.generation import generate
from vif.recording import Recorder


class _Until(Recorder):
    """Records up to a layer and ends the pass there."""

    def __init__(self, batch: Batch, last: int) -> None:
        super().__init__(batch)
        self.last = last

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        super().record(layer, row, first_key)
        if layer == self.last:
            raise PassEnded


def last_rows(request: Request, batch: Batch, layers: Sequence[int]) -> np.ndarray:
    """Attention of the last prompt row to every image token, (B, L, H, N); one pass.

    Args:
        request: Of the method.
        batch: What to ask.
        layers: Which layers, in order; the pass ends after the deepest.
    """
    tap = _Until(batch, max(layers))
    with suppress(PassEnded):
        generate(request.backbone.model, dict(batch.inputs), tap, 1, request.cancel)
    return torch.stack(_recorded(tap.rows[0], layers), 1).numpy()


def answer_rows(
    request: Request, batch: Batch, layers: Sequence[int], steps: int
) -> list[np.ndarray]:
    """Attention of the rows that predict an answer to every image token.

    Args:
        request: Of the method.
        batch: What to ask.
        layers: Which layers, in order.
        steps: Longest answer.

    Returns:
        (T, L, H, N) per prompt, T tokens with the end token.
    """
    tap = Recorder(batch)
    found = generate(request.backbone.model, dict(batch.inputs), tap, steps, request.cancel)
    rows = torch.stack([torch.stack(_recorded(step, layers)) for step in tap.rows])
    lengths = found.finished_at.tolist()
    return [rows[:length, :, i].numpy() for i, length in enumerate(lengths)]


def _recorded(step: Sequence[torch.Tensor | None], layers: Sequence[int]) -> list[torch.Tensor]:
    """Rows of some layers, each (B, H, N); all of them have attention."""
    found = [row for layer in layers if (row := step[layer]) is not None]
    if len(found) < len(layers):
        raise ValueError(f"Not every one of the layers {list(layers)} recorded its attention.")
    return found


class _Most(Edit):
    """Changes nothing; keeps the most that any row attends to every image token."""

    def __init__(self, batch: Batch, found: list[torch.Tensor]) -> None:
        super().__init__(batch.first_row)
        self.columns, self.found = batch.columns, found

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        mean = weights.mean(1) * rows.edited[..., None]
        index = self.columns.to(mean.device) - rows.first_key
        seen = mean.amax(1).gather(1, index.clamp_min(0)) * (index >= 0)
        self.found.append(seen.cpu())
        return weights


class _Dynamics(Tap):
    """One (B, N) per layer and step."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.steps: list[list[torch.Tensor]] = []

    @override
    def begin(self, start: int, length: int) -> None:
        self.steps.append([])

    @override
    def edit(self, layer: int) -> Edit:
        return _Most(self.batch, self.steps[-1])


def token_dynamics(request: Request) -> np.ndarray:
    """How much text looks at every image token, layer by layer, (B, L, N), as AIF profiles it.

    d_i^l, the most that any row after the image, or the first generated one, attends to token i in
    layer l (arXiv 2604.15809). The paper does not say how heads are pooled: their mean, here. One
    pass and one token more.
    """
    batch = request.batch
    tap = _Dynamics(batch)
    found = generate(request.backbone.model, dict(batch.inputs), tap, 2, request.cancel)
    prompt, *later = (torch.stack(step, 1) for step in tap.steps)
    for step in later:
        # A prompt that ended at once has no second row of its own.
        prompt = torch.maximum(prompt, step * (found.finished_at > 1)[:, None, None])
    return prompt.numpy()
