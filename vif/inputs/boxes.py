"""Boxes and the image tokens that they cover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vif.errors import InputError

Box = tuple[float, float, float, float]


def as_box(sides: Iterable[float]) -> Box:
    """Four numbers x0, y0, x1, y1 as a box."""
    x0, y0, x1, y1 = sides
    return x0, y0, x1, y1


def check_boxes(boxes: Sequence[Box]) -> None:
    """Raises `InputError` unless every box has a size and lies on the image."""
    for box in boxes:
        x0, y0, x1, y1 = map(float, box)
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            shown = ", ".join(f"{side:g}" for side in (x0, y0, x1, y1))
            raise InputError(
                f"A box is ({shown}): expected x0, y0, x1, y1 in fractions of the image from 0 "
                "to 1, with x0 < x1 and y0 < y1."
            )


def box_shares(cells: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """True boxes as a map: each box has equal weight, spread over the tokens it covers.

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


def mask_shares(cells: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The weight of every token cell under a painted mask.

    Args:
        cells: (N, 4) as (x0, y0, x1, y1) in [0, 1] image coordinates, NaN off the image.
        mask: (H, W), >= 0, over the whole image.

    Returns:
        (N,), mean of the mask in every cell, scaled to sum to 1; zeros if nothing is painted.
    """
    height, width = mask.shape
    table = np.zeros((height + 1, width + 1))
    table[1:, 1:] = mask.cumsum(0).cumsum(1)
    known = ~np.isnan(cells).any(1)
    scale = np.array([width, height, width, height])
    x0, y0, x1, y1 = (np.nan_to_num(cells) * scale).T
    left, top = np.floor(x0).astype(int), np.floor(y0).astype(int)
    right = np.clip(np.ceil(x1).astype(int), left + 1, width)
    bottom = np.clip(np.ceil(y1).astype(int), top + 1, height)
    left, top = np.minimum(left, right - 1), np.minimum(top, bottom - 1)
    total = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    shares = np.where(known, total / ((right - left) * (bottom - top)), 0.0)
    return shares / max(shares.sum(), 1e-12)
