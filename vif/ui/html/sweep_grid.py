"""A sweep as HTML: one cell per range of injection layers; a click takes the range."""

from __future__ import annotations

from typing import Any

import numpy as np

from vif.probes.sweep import Sweep
from vif.ui.html.templates import fill

# In a deeper model a number does not fit into its cell.
_MOST_WORDS = 12


def sweep_grid(sweep: Sweep) -> str:
    """Rows are first layers, columns last ones; orange helps the tracked answer, blue hurts it."""
    change, count = sweep.change, len(sweep.change)
    limit = max(float(np.nanmax(np.abs(change))), 1e-9)
    cells = [[_cell(sweep, start, end, limit) for end in range(count)] for start in range(count)]
    return fill(
        "sweep",
        cells=cells,
        low=_signed(float(np.nanmin(change))),
        high=_signed(float(np.nanmax(change))),
        limit=limit,
        learnt=sweep.learning[1],
    )


def range_of(index: int, count: int) -> tuple[int, int]:
    """Returns first and last layer of the cell with that number."""
    return divmod(index, count)


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _cell(sweep: Sweep, start: int, end: int, limit: float) -> dict[str, Any] | None:
    """One range; None if its end is before its start."""
    if end < start:
        return None
    value, count = float(sweep.change[start, end]), len(sweep.change)
    return {
        "pick": start * count + end,
        "start": start,
        "end": end,
        "words": _signed(value, 1) if count <= _MOST_WORDS else "",
        "value": _signed(value, 3),
        "side": "more" if value > 0 else "less",
        "is_best": (start, end) == tuple(sweep.best),
        "is_blocked": start <= sweep.learning[1],
        "strength": min(1.0, abs(value) / limit),
    }
