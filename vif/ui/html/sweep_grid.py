"""A sweep as HTML: one cell per range of injection layers; a click takes the range."""

from __future__ import annotations

import numpy as np

from vif.probes.sweep import Sweep
from vif.ui.html.markup import chip

# In a deeper model a number does not fit into its cell.
_MOST_WORDS = 12


def sweep_grid(sweep: Sweep) -> str:
    """Rows are first layers, columns last ones; orange helps the watched answer, blue hurts it."""
    change, count = sweep.change, len(sweep.change)
    limit = max(float(np.nanmax(np.abs(change))), 1e-9)
    heads = "".join(f"<span>{end}</span>" for end in range(count))
    rows = "".join(
        f"<span>{start}</span>" + "".join(_cell(sweep, start, end, limit) for end in range(count))
        for start in range(count)
    )
    low, high = float(np.nanmin(change)), float(np.nanmax(change))
    learnt = sweep.learning[1]
    note = (
        f" Dashed ranges begin at or before learning layer {learnt}: they show what such a range "
        "would do, but cannot be set."
        if learnt >= 0
        else ""
    )
    return (
        '<div class="vl-sweep-box"><div class="vl-sweep" role="group" aria-label="Injection ranges"'
        f' style="--n:{count}"><span class="vl-sweep-corner">from ↓ to →</span>{heads}{rows}</div>'
        f'</div><p class="vl-small">Change of the log-probability, {_signed(low)} to '
        f"{_signed(high)}; colours from −{limit:.2f} (blue) to +{limit:.2f} (orange). "
        "The best range has a frame."
        f"{note}</p>"
    )


def range_of(index: int, count: int) -> tuple[int, int]:
    """Returns first and last layer of the cell with that number."""
    return divmod(index, count)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _cell(sweep: Sweep, start: int, end: int, limit: float) -> str:
    """One range, or an empty place where it would end before it begins."""
    if end < start:
        return "<i></i>"
    value, count = float(sweep.change[start, end]), len(sweep.change)
    side = "more" if value > 0 else "less"
    kinds = ["vl-chip", "vl-range-cell", f"vl-{side}"]
    if (start, end) == tuple(sweep.best):
        kinds.append("vl-best")
    blocked = start <= sweep.learning[1]
    return chip(
        start * count + end,
        f"{value:+.1f}".replace("-", "−") if count <= _MOST_WORDS else "",
        class_=" ".join(kinds),
        aria_pressed=None,
        disabled="disabled" if blocked else None,
        style=f"--v:{min(1.0, abs(value) / limit):.3f}",
        title=f"layers {start} to {end}: {value:+.3f}",
        aria_label=f"Layers {start} to {end}: {value:+.2f}",
    )
