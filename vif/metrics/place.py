"""On target: attention compared with known boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vif.inputs.boxes import Box, box_overlap
from vif.metrics.amount import TINY, image_weights
from vif.metrics.grid import base_grid
from vif.trace import Trace


def box_coverage(cells: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """Which share of every token's cell lies in the boxes, (N,), in [0, 1].

    Args:
        cells: Token rectangles, (N, 4), NaN off the image.
        boxes: (x0, y0, x1, y1) in [0, 1] image coordinates. Where two overlap within a cell their
            shares are added, up to 1.
    """
    known = np.nan_to_num(cells)
    area = (known[:, 2] - known[:, 0]) * (known[:, 3] - known[:, 1])
    inside = sum((box_overlap(cells, box) for box in boxes), np.zeros(len(cells)))
    return np.minimum(1, inside / np.maximum(area, TINY))


def in_box_mass(
    trace: Trace, truth: np.ndarray, token: int = 0, without: np.ndarray | None = None
) -> np.ndarray:
    """Share of the image attention that lies on the true tokens, by layer, (L,), in [0, 1].

    IB = sum_j c_j b_j, the energy-based pointing game (Score-CAM, arXiv 1910.01279).

    Args:
        trace: A trace.
        truth: Share c of every token's cell that is covered by the truth, (N,), in [0, 1].
        token: Which generated token.
        without: Image tokens that are left out, (N,) or (L, N) bool.
    """
    return image_weights(trace, token, without) @ truth


def lift(
    trace: Trace, truth: np.ndarray, token: int = 0, without: np.ndarray | None = None
) -> np.ndarray:
    """In-box mass over what a uniform look would put there, (L,): IB / (sum c / N); 1 is chance.

    Arguments as in `in_box_mass`. N counts tokens that lie on the image; NaN without any truth.
    """
    even = truth.sum() / max((~np.isnan(trace.cells).any(1)).sum(), 1)
    if even == 0:
        return np.full(trace.num_layers, np.nan)
    return in_box_mass(trace, truth, token, without) / even


def window_ratio(trace: Trace, box: Box, token: int = 0) -> np.ndarray:
    """Attention inside a box over the mean of all windows of its size, (L,); 1 is chance.

    ViCrop's attention ratio (arXiv 2502.17422) on the grid of the whole image: the box is the
    smallest window of tokens that holds it, and it is compared with every window of that size, so
    that a map that favours the middle or the border does not count. NaN if no token sees the box.
    """
    grid = base_grid(trace)
    touched = np.argwhere(box_overlap(trace.cells, box)[grid] > 0)
    if len(touched) == 0:
        return np.full(trace.num_layers, np.nan)
    (top, left), (bottom, right) = touched.min(0), touched.max(0) + 1
    height, width = bottom - top, right - left
    table = np.pad(
        image_weights(trace, token)[:, grid].cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0))
    )
    sums = (
        table[:, height:, width:]
        - table[:, :-height, width:]
        - table[:, height:, :-width]
        + table[:, :-height, :-width]
    )
    return sums[:, top, left] / np.maximum(sums.mean((1, 2)), TINY)


def points_into(weights: np.ndarray, truth: np.ndarray) -> bool:
    """Pointing game: whether the largest weight (N,) lies on a token that the truth touches."""
    return bool(truth[int(np.argmax(weights))] > 0)


def near_box(cells: np.ndarray, boxes: Sequence[Box], patches: float = 0) -> np.ndarray:
    """Which tokens touch a box when their cells are grown by so many patches, (N,) bool.

    The mean of it is the pointing game's level of chance.
    """
    sizes = cells[:, 2:] - cells[:, :2]
    grown = np.concatenate([cells[:, :2] - patches * sizes, cells[:, 2:] + patches * sizes], 1)
    hits = [box_overlap(grown, box) > TINY for box in boxes]
    return np.any([np.zeros(len(cells), bool), *hits], 0)


def pointing(
    trace: Trace,
    boxes: Sequence[Box],
    token: int = 0,
    patches: float = 0,
    without: np.ndarray | None = None,
) -> np.ndarray:
    """Pointing game by layer, (L,) bool: argmax_j b_j touches a box, up to so many patches off.

    Zhang et al., arXiv 1608.00507. The raw argmax is often a sink: play it without them too.
    """
    hits = near_box(trace.cells, boxes, patches)
    weights = image_weights(trace, token, without)
    return hits[weights.argmax(-1)] & (weights.max(-1) > 0)


def token_at(cells: np.ndarray, place: tuple[float, float]) -> int | None:
    """The finest token at a place, None where there is none.

    Args:
        cells: Sides of every token, (N, 4) as x0, y0, x1, y1, NaN for a token that lies nowhere.
        place: From the left and from the top, in the unit of the cells.
    """
    x, y = place
    x0, y0, x1, y1 = cells.T
    inside = np.flatnonzero((x0 <= x) & (x < x1) & (y0 <= y) & (y < y1))
    if not len(inside):
        return None
    return int(inside[((x1 - x0) * (y1 - y0))[inside].argmin()])
