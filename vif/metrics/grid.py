"""The token grid of the whole image, for metrics that ask which tokens are neighbours."""

from __future__ import annotations

import numpy as np

from vif.errors import InputError
from vif.trace import Trace


def base_grid(trace: Trace) -> np.ndarray:
    """Indices of the image tokens that make the first grid, row by row, (R, C).

    It is the look at the whole image where the model has one. Tokens that see only padding are part
    of it, newline tokens are not.

    Raises:
        InputError: If the trace does not say how its tokens are laid out.
    """
    layout = trace.meta.get("layout")
    if not layout:
        raise InputError(
            "This trace has no record of the layout of its image tokens: record the question again."
        )
    grid = layout["grids"][0]
    placed = np.asarray(~np.isnan(trace.cells).any(1))
    placed[layout["padding"]] = True
    return np.flatnonzero(placed & (trace.blocks == 0)).reshape(grid["rows"], grid["columns"])
