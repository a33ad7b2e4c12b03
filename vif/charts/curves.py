"""Curves over layers: how much, how widely and how well on target each answer looks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from vif.charts.style import (
    INJECTION_COLOUR,
    LEARNING_COLOUR,
    axis_title,
    dress,
    method_colour,
    method_label,
)

_PANEL_HEIGHT = 205
_MARGINS = 118
# Title, unit and tick format of the panels, from top to bottom.
_PANELS = (
    ("<b>How much</b>: attention on the image", "share of the row", ".0%"),
    ("<b>How widely</b>: spread over the image", "0 one spot – 1 uniform", ""),
    ("<b>On target</b>: on what was asked about", "share of the image part", ".1~%"),
)


def attenuation(
    share: Mapping[str, np.ndarray],
    entropy: Mapping[str, np.ndarray],
    learning: tuple[int, int] | None = None,
    injection: tuple[int, int] | None = None,
    asked: Mapping[str, np.ndarray] | None = None,
) -> go.Figure:
    """Draws how much, how widely and, if known, how well on target each layer looks.

    Args:
        share: For each method the share of attention on the image by layer, (L,), in [0, 1]; NaN
            for a layer that has no attention.
        entropy: For each method the spread of that attention by layer, (L,), in [0, 1]: 0 is one
            image token, 1 is uniform.
        learning: First and last learning layer, shaded; None draws no range.
        injection: First and last injection layer, shaded; None draws no range.
        asked: For each method the part of the attention on the image that lies on what was asked
            about, by layer, (L,), in [0, 1]; a third panel if it is given.

    Returns:
        A figure with panels above each other that share the layer axis.
    """
    given = zip(_PANELS, (share, entropy, asked), strict=True)
    panels = [(panel, curves) for panel, curves in given if curves]
    figure = make_subplots(
        rows=len(panels),
        shared_xaxes=True,
        vertical_spacing=0.24 / len(panels),
        subplot_titles=[words for (words, _, _), _ in panels],
    )
    for row, (_, curves) in enumerate(panels, start=1):
        for position, (method, values) in enumerate(curves.items()):
            figure.add_trace(_line(method, position, values, show_legend=row == 1), row=row, col=1)
    num_layers = max((len(values) for values in share.values()), default=1)
    ranges = ((learning, LEARNING_COLOUR, "learning"), (injection, INJECTION_COLOUR, "injection"))
    for bounds, colour, name in ranges:
        if bounds is not None:
            _shade(figure, bounds, colour, name)
    _dress(figure, num_layers)
    for row, ((_, unit, tick_format), _) in enumerate(panels, start=1):
        figure.update_yaxes(title=axis_title(unit), tickformat=tick_format, row=row, col=1)
    if asked:
        # A small object is a few per cent of the picture: on the full axis its curve would be flat.
        top = 1.15 * max(0.02, *(float(np.nanmax(values)) for values in asked.values()))
        figure.update_yaxes(range=[0, min(1.04, top)], dtick=None, nticks=5, row=len(panels), col=1)
    figure.update_xaxes(title=axis_title("decoder layer"), row=len(panels), col=1)
    figure.update_layout(height=_MARGINS + _PANEL_HEIGHT * len(panels))
    return figure


def _line(method: str, position: int, values: np.ndarray, show_legend: bool) -> go.Scatter:
    """One curve; dashes and markers tell plain from the rest without colour."""
    colour = method_colour(method, position)
    is_plain = method == "plain"
    # Layers without attention have no point; the line goes on to the next that has.
    known = np.flatnonzero(~np.isnan(values))
    return go.Scatter(
        x=known.tolist(),
        y=[float(v) for v in values[known]],
        name=method_label(method),
        legendgroup=method,
        showlegend=show_legend,
        mode="lines+markers",
        line={"color": colour, "width": 2.5, "dash": "dot" if is_plain else "solid"},
        marker={"size": 8, "symbol": "circle-open" if is_plain else "circle", "color": colour},
        hovertemplate="layer %{x}: %{y:.3f}<extra>" + method_label(method) + "</extra>",
    )


def _shade(figure: go.Figure, bounds: tuple[int, int], colour: str, name: str) -> None:
    """Shades a range of layers in all panels and names it in the uppermost."""
    low, high = bounds
    figure.add_vrect(
        x0=low - 0.45, x1=high + 0.45, fillcolor=colour, opacity=0.11, line_width=0, layer="below"
    )
    # The two labels sit at different heights: the ranges may overlap.
    is_learning = name == "learning"
    span = f"{low}" if low == high else f"{low}–{high}"
    figure.add_annotation(
        x=low - 0.42,
        y=0.02 if is_learning else 0.13,
        yref="y domain",
        xref="x",
        text=f"<b>{name} {span}</b>",
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        font={"color": colour, "size": 11},
    )


def _dress(figure: go.Figure, num_layers: int) -> None:
    """Sets axes, legend and margins of a figure."""
    dress(figure)
    figure.update_layout(hovermode="x unified")
    step = max(1, round(num_layers / 16))
    figure.update_xaxes(range=[-0.5, num_layers - 0.5], dtick=step)
    figure.update_yaxes(range=[0, 1.04], dtick=0.25)
