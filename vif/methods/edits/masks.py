"""Masks among image tokens, for methods that change which of them see each other."""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from vif.methods.base import Request
from vif.methods.edits.tap import EditingTap
from vif.model.edits import Edit, Rows


class ImageMask(Edit):
    """Hides image tokens from image tokens.

    Attributes:
        hidden: Which image token (second side) each image token (first side) no longer sees,
            (B, N, N) bool; the diagonal is False.
    """

    def __init__(self, request: Request, hidden: torch.Tensor) -> None:
        super().__init__(request.batch.columns.min(1).values)
        self.columns, self.hidden = request.batch.columns, hidden

    @override
    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        keys = torch.arange(rows.key.shape[2], device=logits.device) + rows.first_key
        columns = self.columns.to(logits.device)
        is_row = rows.positions.to(logits.device)[None, :, None] == columns[:, None]
        is_key = columns[..., None] == keys
        pairs = is_row.float() @ self.hidden.to(logits.device).float() @ is_key.float()
        return logits.masked_fill(pairs[:, None] > 0, float("-inf"))


def nothing_hidden(request: Request) -> np.ndarray:
    """Which image token is hidden from which, (B, N, N) bool: none."""
    batch, number = request.batch.columns.shape
    return np.zeros((batch, number, number), bool)


def masked(request: Request, hidden: torch.Tensor) -> EditingTap:
    """A tap that hides image tokens in all layers; `hidden` as in `ImageMask`."""
    edit = ImageMask(request, hidden)
    return EditingTap(request, dict.fromkeys(request.backbone.attention_layers, edit))
