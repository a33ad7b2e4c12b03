"""Edits that drop image tokens, or mark the picture instead of changing attention."""

from __future__ import annotations

import torch
from PIL import ImageDraw
from typing_extensions import override

from vif.methods import crops
from vif.methods.base import Option, Request
from vif.methods.edits.base import (
    MapEdit,
    edit_tokens,
    fields_of,
    least_tokens_of,
    register_edit,
)
from vif.methods.edits.tap import PUBLISHED_DEPTH, published_layers
from vif.model.edits import Rows
from vif.recording import Recorder


class Prune(MapEdit):
    """No row from the first image token on sees the tokens with a value above 0, but themselves."""

    def __init__(self, request: Request, values: torch.Tensor) -> None:
        super().__init__(request, values)
        self.first_row = request.batch.columns.min(1).values

    @override
    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        keys = torch.arange(rows.key.shape[2], device=logits.device) + rows.first_key
        is_self = keys == rows.positions.to(logits.device)[:, None]
        return logits.masked_fill((self.laid(rows) > 0) & ~is_self, float("-inf"))


@register_edit(
    "prune",
    "The image tokens with the lowest map values are dropped after an early layer (FastV).",
    Option("ratio", 0.5, 0, 0.95, 0.05, "Share of image tokens to drop; FastV: 0.5."),
    Option(
        "after",
        2,
        0,
        PUBLISHED_DEPTH - 1,
        1,
        "First layer without them, scaled from 32 layers; FastV: 2.",
    ),
    identity={"ratio": 0},
)
def prune(request: Request, weights: torch.Tensor) -> Recorder:
    """Drops tokens for both text and image (unlike `cut`), from a given layer.

    FastV (arXiv 2403.06764) with the map ``text``. Dropped tokens keep their places, so positions
    do not move; what they compute themselves is read by nobody, which gives the answer of a model
    that left them out, not its speed.
    """
    dropped = least_tokens_of(request, weights)
    after = int(request.options["after"])
    layers = published_layers(after, PUBLISHED_DEPTH - 1, request.backbone)
    return edit_tokens(request, Prune, dropped, weights, layers, "dropped")


@register_edit(
    "outline",
    "A red frame is drawn around most of the map, and the question asked again.",
    Option("share", 0.15, 0.02, 1, 0.01, "Area of the frame; chosen, 1 draws none."),
    identity={"share": 1},
)
def outline(request: Request, weights: torch.Tensor) -> Recorder:
    """Marks the picture as ReFocus does with its boxes (arXiv 2501.05452).

    ReFocus lets a model write code that draws boxes, highlights or masks; here the place comes from
    a map and the mark is a red frame of a hundredth of the picture's width.
    """
    views = []
    for image, field in fields_of(request, weights):
        share = request.options["share"]
        if share < 1 and field.values.any():
            image = image.copy()
            x0, y0, x1, y1 = crops.fullest_window(field, share)
            sides = (x0 * image.width, y0 * image.height, x1 * image.width, y1 * image.height)
            width = max(1, round(max(image.size) / 100))
            ImageDraw.Draw(image).rectangle(sides, outline=(255, 0, 0), width=width)
        views.append(crops.EditedPicture(image, crops.WHOLE))
    return crops.ask_again(request, views)
