"""VAF: raises the image's logits in middle layers."""

from __future__ import annotations

from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import EditingTap, first_tokens, published_layers
from vif.model.edits import Edit, Rows


class VAFEdit(Edit):
    """Scales the logits of the image and of the tokens before it."""

    def __init__(self, request: Request) -> None:
        batch = request.batch
        super().__init__(batch.first_row)
        self.columns, self.options = batch.columns, request.options
        self.positions = torch.arange(batch.parts.shape[1], device=batch.columns.device)
        is_token = self.positions >= first_tokens(batch)[:, None]
        self.before = is_token & (self.positions < batch.columns.amin(1, keepdim=True))

    @override
    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        """One factor for all heads and rows."""
        image = rows.columns(self.columns)
        before = rows.spread(self.before, self.positions.expand_as(self.before))
        more, less = self.options["visual"] - 1, self.options["system"] - 1
        scaled = logits.abs() if self.options["absolute"] else logits
        return logits + (more * image + less * before) * scaled


@register
class VAF(Method):
    """ClearSight's visual amplification fusion (CVPR 2025).

    e_j <- visual * e_j on image tokens, e_j <- system * e_j on the tokens before the image, for all
    rows after it, all heads, layers 9 to 14 of 32, prompt and answer.

    As in the code, raw logits are multiplied, so a negative logit moves the other way: such an
    image token loses. ``absolute`` adds (factor - 1) |e_j| instead, as PAI does. The code's
    positions (35 tokens before an image of 576) become the prompt's own.
    """

    name = "vaf"
    label = "VAF"
    group = Group.ATTENTION
    summary = (
        "Middle layers: raises logits of the image by 15 %, lowers those before the image by 5 %."
    )
    options = (
        Option("visual", 1.15, 0.5, 2, 0.05, "Factor on logits of image tokens; published."),
        Option("system", 0.95, 0.5, 2, 0.05, "Factor on logits before the image; published."),
        Option("absolute", 0, 0, 1, 1, "1: negative logits move the same way; published 0."),
    )
    identity: ClassVar = {"visual": 1, "system": 1}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Edits the published layers of any model."""
        layers = published_layers(9, 14, request.backbone)
        return EditingTap(request, {layer: VAFEdit(request) for layer in layers})
