"""Maps and mixtures over a picture as the browser draws them, for panels of any kind.

Independent of Gradio and HTML; `vif.ui.theme.figure_block` makes the component.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vif.draw import render
from vif.inputs.boxes import Box
from vif.trace import Mixture
from vif.ui.state.payload import as_float16

_numbers = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Figure:
    """One map, one mixture, or both, over the picture.

    Attributes:
        title: Plain text.
        caption: Plain text.
        tone: The class that colours it, see `vif.ui.tones.colour_classes`.
        cells: Rectangles of the tokens, (N, 4), in [0, 1]; needed with `values`.
        values: One number per token, (N,), at least 0; None draws no map.
        top: Value of the full colour; None is the largest of all figures on this picture.
        mixture: Its components are drawn as rings.
        boxes: Drawn dashed.
    """

    title: str
    caption: str = ""
    tone: str = "vl-vif"
    cells: np.ndarray | None = None
    values: np.ndarray | None = None
    top: float | None = None
    mixture: Mixture | None = None
    boxes: Sequence[Box] = ()


def figure_data(picture: np.ndarray, figures: Sequence[Figure]) -> dict[str, Any]:
    """Returns what a figure component's ``data`` must be to show these figures.

    Args:
        picture: (H, W, 3) uint8.
        figures: Side by side, in this order.
    """
    height, width = picture.shape[:2]
    return {
        "id": next(_numbers),
        "picture": render.data_url(picture),
        "width": width,
        "height": height,
        "figures": [_figure(one) for one in figures],
    }


def _figure(one: Figure) -> dict[str, Any]:
    return {
        "title": one.title,
        "caption": one.caption,
        "tone": one.tone,
        "cells": None
        if one.cells is None
        else base64.b64encode(np.asarray(one.cells, "<f4").tobytes()).decode(),
        "values": None if one.values is None else as_float16(one.values),
        "top": one.top,
        "mixture": None
        if one.mixture is None
        else {
            "means": np.round(one.mixture.means, 4).tolist(),
            "sigmas": np.round(one.mixture.sigmas, 4).tolist(),
            "weights": np.round(one.mixture.weights, 4).tolist(),
        },
        "boxes": [list(box) for box in one.boxes],
    }
