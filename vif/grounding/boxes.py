"""Boxes against boxes, and the smallest box that holds most of a map. Arrays only."""

from __future__ import annotations

import numpy as np

from vif.inputs.boxes import Box

# What the field calls found.
FOUND = 0.5


def iou(one: Box, other: Box) -> float:
    """Intersection over union, in [0, 1]; boxes are (x0, y0, x1, y1) in any one unit."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return shared / (sum(areas) - shared) if shared > 0 else 0.0


def smallest_box(grid: np.ndarray, share: float) -> tuple[int, int, int, int]:
    """The rectangle of fewest cells that holds a share of the map; of equals the one with most.

    All rectangles are tried, from summed areas.

    Args:
        grid: Map, (R, C), >= 0, with a sum above 0.
        share: In (0, 1].

    Returns:
        (top, left, bottom, right), the last two exclusive.
    """
    table = np.pad(grid.astype(float).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    needed = share * table[-1, -1] * (1 - 1e-9)
    rows, columns = grid.shape
    best, found = (rows * columns + 1, 0.0), (0, 0, rows, columns)
    for height in range(1, rows + 1):
        strips = table[height:] - table[:-height]
        for width in range(1, columns + 1):
            area = height * width
            if area > best[0]:
                break
            sums = strips[:, width:] - strips[:, :-width]
            top, left = np.unravel_index(int(sums.argmax()), sums.shape)
            most = float(sums[top, left])
            if most >= needed and (area, -most) < best:
                best = (area, -most)
                found = (int(top), int(left), int(top) + height, int(left) + width)
    return found
