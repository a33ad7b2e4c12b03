"""AKI: image tokens see the question after them, without AKI's training."""

from __future__ import annotations

from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import EditingTap
from vif.model.edits import Edit, Rows


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
    summary = "Image tokens see the question that follows; without the paper's training."
    options = (Option("on", 1, 0, 1, 1, "0 leaves the model unchanged."),)
    identity: ClassVar = {"on": 0}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Edits every layer with attention; works on any model."""
        layers = request.backbone.attention_layers if request.options["on"] else ()
        return EditingTap(request, dict.fromkeys(layers, Forward(request)))
