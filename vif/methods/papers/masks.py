"""What breaks: masks among image tokens that two papers train models with, on one that was not."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import EditingTap
from vif.model.edits import Edit, Rows
from vif.model.families import Layout


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


def _nothing_hidden(request: Request) -> np.ndarray:
    """Which image token is hidden from which, (B, N, N) bool: none."""
    batch, number = request.batch.columns.shape
    return np.zeros((batch, number, number), bool)


def _masked(request: Request, hidden: torch.Tensor) -> EditingTap:
    edit = ImageMask(request, hidden)
    return EditingTap(request, dict.fromkeys(request.backbone.attention_layers, edit))


@register
class SAISA(Method):
    """No attention among image tokens, arXiv 2502.02458 (NAAViT), without its training.

    The paper finds that attention between image tokens is redundant and trains models without it;
    on a model that was not, this shows how redundant it is. Its other half, sharing the projector
    with the decoder's layers, is a matter of training. All layers and heads.
    """

    name = "saisa"
    label = "SAISA"
    group = Group.ATTENTION
    summary = "Image tokens no longer see each other: is attention among them needed?"
    options = (Option("share", 1, 0, 1, 0.05, "Share of the others that each loses; chosen."),)
    identity: ClassVar = {"share": 0}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Works on any model."""
        hidden = _nothing_hidden(request)
        for i, rng in enumerate(request.generators(2)):
            hidden[i] = rng.random(hidden[i].shape) < request.options["share"]
        hidden &= ~np.eye(len(hidden[0]), dtype=bool)
        return _masked(request, torch.from_numpy(hidden))


@register
class CCA(Method):
    """The mask of concentric causal attention, arXiv 2410.15926, without its training.

    The tokens of a grid form rings from its edge to its middle, and a token sees those of its own
    ring and of outer ones only. The other half of the method, positions that count rings, changes
    every position that the model was trained with and is left out: this is the mask alone, to see
    what it breaks. Rings are taken of the look at the whole image; other image tokens stay as they
    are.
    """

    name = "cca"
    label = "CCA"
    group = Group.ATTENTION
    summary = "Image tokens see their own and outer rings only: what breaks untrained."
    options = (Option("on", 1, 0, 1, 1, "0 leaves the model as it is."),)
    identity: ClassVar = {"on": 0}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Works on any model."""
        hidden = _nothing_hidden(request)
        for i, prompt in enumerate(request.batch.prompts):
            ring = _rings(prompt.layout)
            known = ring >= 0
            inner = ring[None, :] > ring[:, None]
            hidden[i] = inner & known[None, :] & known[:, None] & (request.options["on"] > 0)
        return _masked(request, torch.from_numpy(hidden))


class Forward(Edit):
    """Lets image tokens see the text of the prompt that comes after them."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.batch.columns.min(1).values)
        self.columns, self.text_row = request.batch.columns, request.batch.first_row
        self.length = request.batch.inputs["attention_mask"].shape[1]

    @override
    def sees(self, visible: torch.Tensor, rows: Rows) -> torch.Tensor:
        device = visible.device
        keys = torch.arange(rows.key.shape[2], device=device) + rows.first_key
        columns = self.columns.to(device)
        is_image = (rows.positions.to(device)[:, None] == columns[:, None]).any(-1)
        is_later = (keys >= self.text_row.to(device)[:, None]) & (keys < self.length)
        return visible | (is_image[:, None, :, None] & is_later[:, None, None])


@register
class AKI(Method):
    """Modality-mutual attention, arXiv 2503.02597 (AKI), without its training.

    Image tokens see the question that comes after them, in all layers and heads; text stays causal.
    AKI trains a model with this mask; on one that was not it shows what breaks. A prompt whose
    image was read before, as in a cached prefix, could not be opened afterwards.
    """

    name = "aki"
    label = "AKI"
    group = Group.ATTENTION
    summary = "Image tokens see the question that follows: what breaks untrained."
    options = (Option("on", 1, 0, 1, 1, "0 leaves the model as it is."),)
    identity: ClassVar = {"on": 0}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Works on any model."""
        layers = request.backbone.attention_layers if request.options["on"] else ()
        return EditingTap(request, dict.fromkeys(layers, Forward(request)))


def _rings(layout: Layout) -> np.ndarray:
    """Ring of every token of the whole image, 0 the outermost, (N,); -1 for all others."""
    whole = layout.grids[0]
    is_placed = (layout.blocks == 0) & (~np.isnan(layout.cells).any(1) | layout.padding)
    y, x = np.mgrid[: whole.rows, : whole.columns]
    ring = np.minimum.reduce([y, x, whole.rows - 1 - y, whole.columns - 1 - x])
    found = np.full(len(layout.blocks), -1)
    found[is_placed] = ring.ravel()
    return found
