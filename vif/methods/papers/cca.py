"""CCA: image tokens see outer rings only, without CCA's training."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.masks import masked, nothing_hidden
from vif.methods.edits.tap import EditingTap
from vif.model.families import Layout


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
    summary = "Image tokens see only their own and outer rings; without the paper's training."
    options = (Option("on", 1, 0, 1, 1, "0 leaves the model unchanged."),)
    identity: ClassVar = {"on": 0}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Edits every layer with attention; works on any model."""
        hidden = nothing_hidden(request)
        for i, prompt in enumerate(request.batch.prompts):
            ring = _rings(prompt.layout)
            known = ring >= 0
            inner = ring[None, :] > ring[:, None]
            hidden[i] = inner & known[None, :] & known[:, None] & (request.options["on"] > 0)
        return masked(request, torch.from_numpy(hidden))


def _rings(layout: Layout) -> np.ndarray:
    """Ring of every token of the whole image, 0 the outermost, (N,); -1 for all others."""
    whole = layout.grids[0]
    is_placed = (layout.blocks == 0) & (~np.isnan(layout.cells).any(1) | layout.padding)
    y, x = np.mgrid[: whole.rows, : whole.columns]
    ring = np.minimum.reduce([y, x, whole.rows - 1 - y, whole.columns - 1 - x])
    found = np.full(len(layout.blocks), -1)
    found[is_placed] = ring.ravel()
    return found
