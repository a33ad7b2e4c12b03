"""Axes of layers and heads, and heatmaps on them: what the figures of several probes share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from plotly import graph_objects as go

from vif.charts.style import TEXT_COLOUR, axis_title

# Loss, nothing, gain: told apart by people who see no red or green, and on dark pages too.
DIVERGING = ((0.0, "#2f7fc1"), (0.5, "#e9ecf1"), (1.0, "#e2661d"))
SEQUENTIAL = ((0.0, "#e9ecf1"), (1.0, "#5b3f9e"))
MARGINS = 118


def heatmap(
    values: np.ndarray,
    colours: Sequence[tuple[float, str]],
    limits: tuple[float, float],
    unit: str,
    hover: str,
) -> go.Heatmap:
    """Values by row and column with their colour bar; NaN is left empty."""
    return go.Heatmap(
        z=[[None if np.isnan(v) else float(v) for v in row] for row in values],
        colorscale=[list(stop) for stop in colours],
        zmin=limits[0],
        zmax=limits[1],
        xgap=1,
        ygap=1,
        hoverongaps=False,
        colorbar={"title": {"text": unit}, "thickness": 14, "outlinewidth": 0},
        hovertemplate=hover,
    )


def square_axes(figure: go.Figure, across: str, up: str, rows: int, columns: int) -> None:
    """Axes of a heatmap with one tick per cell where there is room."""
    figure.update_xaxes(title=axis_title(across), dtick=tick_step(columns), showgrid=False)
    figure.update_yaxes(title=axis_title(up), dtick=tick_step(rows), showgrid=False)
    figure.update_layout(height=MARGINS + max(240, min(640, 34 * rows)), margin={"b": 56})


def headline(figure: go.Figure, words: str) -> None:
    """A title in words, in the tone of the axes."""
    figure.update_layout(
        title={"text": words, "x": 0, "xref": "paper", "font": {"size": 13, "color": TEXT_COLOUR}}
    )


def layer_axis(figure: go.Figure, num_layers: int, words: str) -> None:
    """An axis of layers, counted from 0."""
    figure.update_xaxes(range=[-0.5, num_layers - 0.5], dtick=tick_step(num_layers))
    if words:
        figure.update_xaxes(title=axis_title(words))


def tick_step(number: int) -> int:
    """Distance between ticks, for about 16 ticks."""
    return max(1, round(number / 16))


def span_of(first: int, last: int) -> str:
    """A range of layers as a label."""
    return f"{first}" if first == last else f"{first}–{last}"
