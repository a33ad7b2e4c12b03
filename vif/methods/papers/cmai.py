"""CMAI: text attends less to image tokens that the text before it ignored."""

from __future__ import annotations

from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import EditingTap, published_layers
from vif.model.edits import Edit, Rows


class CMAIEdit(Edit):
    """The edit of CMAI in one layer.

    It keeps what earlier rows gave the image, heads averaged, and where those rows are.
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request.batch.first_row)
        self.columns, self.options = request.batch.columns, request.options
        self.positions: list[torch.Tensor] = []
        self.looks: list[torch.Tensor] = []

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Weakens pairs of little focus and restores the sums of the rows."""
        focus = self._focus(weights.mean(1, keepdim=True), rows)
        image = rows.columns(self.columns)
        number = image.sum(-1, keepdim=True).clamp_min(1)
        typical = (focus * image).sum(-1, keepdim=True) / number
        is_low = (focus < self.options["threshold"] * typical) * image
        inhibited = weights * (1 - self.options["strength"] * is_low)
        left = inhibited.sum(-1, keepdim=True).clamp_min(1e-12)
        return inhibited * weights.sum(-1, keepdim=True) / left

    def _focus(self, mean: torch.Tensor, rows: Rows) -> torch.Tensor:
        """F = A_TT A_TI laid over the keys, (B, 1, R, K)."""
        batch = len(self.columns)
        counted = rows.edited[:, :, None]
        self.positions.append(rows.positions)
        self.looks.append(rows.at(mean, self.columns)[:, 0] * counted)
        text = torch.cat(self.positions).expand(batch, -1)
        looks = torch.cat(self.looks, 1)
        focus = rows.at(mean, text)[:, 0] @ looks
        index = (self.columns.to(focus.device) - rows.first_key).clamp_min(0)[:, None]
        laid = torch.zeros_like(mean[:, 0])
        return laid.scatter_add_(2, index.expand_as(focus), focus)[:, None]


@register
class CMAI(Method):
    """Cross-modality attention inhibition, arXiv 2411.15453, as far as its abstract goes.

    "We aggregate text-to-image attentions by text-to-text attentions to obtain a text-to-image
    focus score. Attention inhibition is performed on the text-image token pairs with low scores":
    F_ij = sum_k A_ik A_kj over the text rows k after the image up to and with i; a pair is low
    below ``threshold`` times the row's mean over the image; there a_ij <- (1 - strength) a_ij, and
    the row is brought back to its sum.

    The abstract gives neither the threshold nor the layers nor how hard the mask is, nor whether
    the method works without training the model with its mask. Our choices: heads averaged in F, the
    mean as threshold, half the weight, all layers but the first. The other half of the paper,
    merging image tokens, is not here.
    """

    name = "cmai"
    label = "CMAI"
    group = Group.ATTENTION
    summary = "Reduces attention to image tokens that earlier words did not attend to."
    options = (
        Option(
            "strength",
            0.5,
            0,
            1,
            0.05,
            "Share of attention that low pairs lose; chosen, not published.",
        ),
        Option(
            "threshold",
            1,
            0,
            5,
            0.1,
            "A pair is low below this many times the mean focus; chosen, not published.",
        ),
    )
    identity: ClassVar = {"strength": 0}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Edits the published layers of any model."""
        layers = published_layers(1, 31, request.backbone)
        return EditingTap(request, {layer: CMAIEdit(request) for layer in layers})
