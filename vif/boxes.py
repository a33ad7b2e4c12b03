"""Boxes and the image tokens that they cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]


def box_shares(cells: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """True boxes as a map: every box spread over the tokens it covers, all boxes alike.

    Args:
        cells: Token rectangles, (N, 4), NaN off the image.
        boxes: (x0, y0, x1, y1) in the same coordinates.

    Returns:
        (N,), sums to 1, or zeros without boxes.
    """
    total = np.zeros(len(cells))
    for box in boxes:
        overlap = box_overlap(cells, box)
        total += overlap / max(overlap.sum(), 1e-9)
    return total / max(len(boxes), 1)


def box_overlap(cells: np.ndarray, box: Box) -> np.ndarray:
    """Area of a box inside every token's cell, (N,)."""
    cells = np.nan_to_num(cells)
    width = np.minimum(cells[:, 2], box[2]) - np.maximum(cells[:, 0], box[0])
    height = np.minimum(cells[:, 3], box[3]) - np.maximum(cells[:, 1], box[1])
    return width.clip(0) * height.clip(0)
