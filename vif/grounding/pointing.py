"""Boxes of methods that only point: from a map over image tokens to a box."""

from __future__ import annotations

import numpy as np

from vif import metrics
from vif.grounding.boxes import smallest_box
from vif.inputs.boxes import Box, as_box
from vif.trace import Trace

# The part of the map that the box has to hold.
SHARE = 0.6


def pointed_map(trace: Trace) -> np.ndarray:
    """Where a method pointed, (N,), sums to 1 or to 0.

    The mean of the maps it injected; of a method that injects none, where the row that predicts
    the first token looked, mean over heads and layers.
    """
    if trace.mixtures:
        return np.mean([mixture.map for mixture in trace.mixtures], 0)
    return metrics.mean_weights(trace)


def box_of_map(trace: Trace, map: np.ndarray, share: float = SHARE) -> Box | None:
    """The smallest box of tokens of the whole image that holds a share of a map; None if it is 0.

    Args:
        trace: Says where its tokens lie.
        map: Weights, (N,).
        share: Of the part of the map that lies on the look at the whole image.

    Returns:
        (x0, y0, x1, y1), in [0, 1] of the original image.
    """
    grid = metrics.base_grid(trace)
    weights = np.where(np.isnan(trace.cells[grid]).any(-1), 0, map[grid])
    if weights.sum() <= 0:
        return None
    top, left, bottom, right = smallest_box(weights, share)
    cells = trace.cells[grid[top:bottom, left:right]].reshape(-1, 4)
    sides = [*np.nanmin(cells[:, :2], 0), *np.nanmax(cells[:, 2:], 0)]
    return as_box(float(side) for side in sides)
