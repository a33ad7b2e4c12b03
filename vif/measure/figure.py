"""The figure for print: how much, how sharply and how well on target every layer looks."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vif.measure.curves import METRICS, RATIO
from vif.measure.lines import Line, depths_differ, lines
from vif.measure.result import MeasuredCurves

WIDTH = 7.2  # inches: two columns of a paper
# At 7.5 points: how wide a letter is on average, and a mark with the space around it, in inches.
_LETTER, _MARK = 0.054, 0.5
# Both halves of what VIF's abstract says of deep layers, then what they look at instead.
PANELS = ("share", "entropy", "in_box", RATIO)
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D"}
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "vif",
}


def draw(
    results: Sequence[MeasuredCurves], metrics: Sequence[str] = PANELS, title: str | None = None
) -> Figure:
    """Curves of the row that predicts the first token, their 95 % intervals shaded.

    Args:
        results: What was measured; several may be of one model.
        metrics: One panel each; what nothing is known of is left out.
        title: Above all, a sentence that says what was measured by default.

    Returns:
        A figure `WIDTH` inches wide.
    """
    panels = {name: found for name in metrics if (found := lines(results, name))}
    columns = min(len(panels), 2 if len(panels) == 4 else 3)
    rows = -(-len(panels) // columns)
    legend = next(iter(panels.values()))
    longest = max(len(line.label) for line in legend)
    beside = max(1, min(3, int(WIDTH / (_MARK + _LETTER * longest))))
    heading = textwrap.fill(title or _title(results), int(WIDTH / _LETTER))
    height = 2.2 * rows + 0.5 + 0.17 * (-(-len(legend) // beside) + heading.count("\n"))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for place, (name, found) in zip(axes, panels.items(), strict=False):
            _panel(place, name, found, depths_differ(results))
        for place in axes[len(panels) :]:
            place.set_visible(False)
        figure.suptitle(heading, fontsize=7.5, x=0.01, ha="left", color="0.35")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=beside, fontsize=7.5)
        # Text is laid out while the style holds.
        figure.draw_without_rendering()
    return figure


def _panel(axes: Axes, name: str, found: Sequence[Line], by_share: bool) -> None:
    metric = next(metric for metric in METRICS if metric.name == name)
    for line in found:
        depth, mean, low, high = np.array(line.at_known("mean", "low", "high"), float)
        axes.fill_between(depth, low, high, color=line.colour, alpha=0.18, linewidth=0)
        axes.plot(
            depth, mean, color=line.colour, linestyle=_DASHES[line.dash],
            marker=_MARKERS[line.marker], markersize=3, linewidth=1.4, label=line.label,
        )  # fmt: skip
    axes.set_title(metric.label)
    axes.set_ylabel(metric.unit)
    axes.set_xlabel("depth, share of the layers" if by_share else "decoder layer")
    if name == RATIO:
        axes.set_yscale("log")
        axes.axhline(1, color="0.5", linewidth=0.8)
        return
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    if not by_share:
        axes.locator_params(axis="x", integer=True)


def _title(results: Sequence[MeasuredCurves]) -> str:
    first = next(e for e in results[0].entries if e["metric"] == "share")
    names = ", ".join(dict.fromkeys(result.model for result in results))
    data = ", ".join(dict.fromkeys(result.provenance["data"]["name"] for result in results))
    return (
        f"{names}; {data}: {first['n']} questions about {first['images']} images; row that "
        "predicts the first token; shaded: 95 % interval over images"
    )
