"""ViCrop: the question is asked again about the part of the picture that draws attention."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from vif.inputs.boxes import Box
from vif.methods import crops
from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.maps.base import MAPS, relative
from vif.recording import Recorder

GROWTH = (1, 1.2, 1.4, 1.6, 1.8, 2)


def sharpest_window(field: crops.PictureMap, size: tuple[int, int], base: float) -> Box:
    """The window by the published rule.

    For every size the square window with the largest sum; of these the one whose sum exceeds the
    mean of its direct neighbours' by most, per cell.

    Args:
        field: The map.
        size: Width and height in pixels of what the field covers.
        base: Side of the smallest window in pixels; the others are up to twice as large.

    Returns:
        In [0, 1] of the picture; all that the model sees if the smallest window covers it.
    """
    rows, columns = field.values.shape
    cell = np.array([size[0] / columns, size[1] / rows])
    best = None
    for growth in GROWTH:
        side = base * growth
        width, height = np.minimum(np.maximum(side // cell, 1), [columns, rows]).astype(int)
        if (width, height) == (columns, rows):
            break
        sums = crops.sliding_sums(field.values, height, width)
        top, left = np.unravel_index(sums.argmax(), sums.shape)
        around = [
            sums[top + down, left + right]
            for down, right in ((0, -1), (0, 1), (-1, 0), (1, 0))
            if 0 <= top + down < sums.shape[0] and 0 <= left + right < sums.shape[1]
        ]
        sharpness = (sums[top, left] - np.mean(around)) / (width * height)
        if best is None or sharpness > best[0]:
            best = sharpness, cell * [left + width / 2, top + height / 2], side
    if best is None:
        return field.outside(crops.WHOLE)
    _, middle, side = best
    half = np.minimum(side, size) / 2
    middle = np.clip(middle, half, np.array(size) - half)
    return field.outside((*((middle - half) / size).tolist(), *((middle + half) / size).tolist()))


@register
class ViCrop(Method):
    """ViCrop with relative attention, arXiv 2502.17422 (ICLR 2025).

    Departs from it where the model or the project asks for it: the answer comes from the crop
    alone, not from picture and crop together; windows are a share of the picture's shorter side,
    not multiples of the encoder's 336 pixels, so that small pictures have windows too (336 pixels
    are 0.44 of 768); pictures over 1024 pixels are not split before they are looked at. As
    published, questions about relations and counts may lose what lies outside the crop.
    """

    name = "vicrop"
    label = "ViCrop"
    group = Group.SECOND_LOOK
    summary = (
        "Finds where attention goes under the question, crops and magnifies, and asks again "
        "(two passes)."
    )
    extra_passes = MAPS["relative"].extra_passes
    options = (
        *MAPS["relative"].options,
        Option(
            "window",
            0.44,
            0.05,
            1,
            0.01,
            "Smallest window; 1 is the whole picture. Published: 336 pixels.",
        ),
    )
    identity: ClassVar = {"window": 1}

    @override
    def tap(self, request: Request) -> Recorder:
        """Crops, then a plain answer about the crop."""
        views = []
        weights = relative(request).cpu().numpy()
        share = request.options["window"]
        for image, prompt, values in zip(
            request.images, request.batch.prompts, weights, strict=True
        ):
            field = crops.lay_on_picture(prompt.layout, values)
            size = field.size(image)
            box = crops.WHOLE
            if share < 1 and field.values.any():
                box = sharpest_window(field, size, share * min(size))
            # As many pixels as before, in a square: as many tokens for every prompt of a batch.
            side = max(1, round((size[0] * size[1]) ** 0.5))
            views.append(crops.cut_out(image, box, (side, side)))
        return crops.ask_again(request, views)
