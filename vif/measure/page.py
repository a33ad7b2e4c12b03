"""The interactive figures: one metric, or all of them with a menu of rows and questions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import Any

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from vif.charts.style import axis_title, dress
from vif.measure.curves import ALL, FIRST, METRICS, RATIO
from vif.measure.lines import Line, depths_differ, lines
from vif.measure.result import MeasuredCurves

# In pixels; a gap holds one panel's axis and the next one's title.
_COLUMNS, _PANEL_HEIGHT, _GAP = 3, 270, 80
# Twice and half are equally far from 1.
_LOG = {"type": "log", "rangemode": "normal"}
_SYMBOLS = {"triangle": "triangle-up"}
# What the curves are of: words, rows of an answer, whether split by the text in the prompt.
VIEWS = (
    ("First token", FIRST, False),
    ("All answer tokens", ALL, False),
    ("First token, by number of text tokens", FIRST, True),
    ("All answer tokens, by number of text tokens", ALL, True),
)


def draw_page(results: Sequence[MeasuredCurves]) -> go.Figure:
    """A panel per metric; the menu chooses among first token, all tokens, and text lengths.

    Args:
        results: What was measured; several may be of one model.
    """
    known = {entry["metric"] for result in results for entry in result.entries}
    shown = [metric for metric in METRICS if metric.name in known]
    rows = -(-len(shown) // _COLUMNS)
    figure = make_subplots(
        rows=rows,
        cols=_COLUMNS,
        subplot_titles=[metric.label for metric in shown],
        vertical_spacing=_GAP / (_PANEL_HEIGHT * rows),
    )
    views, owners = [], []
    for words, tokens, by_length in VIEWS:
        before = len(owners)
        for i, metric in enumerate(shown):
            for line in lines(results, metric.name, tokens, by_length):
                for trace in _traces(line, is_first=i == 0):
                    figure.add_trace(trace, row=i // _COLUMNS + 1, col=i % _COLUMNS + 1)
                    owners.append(words)
        if len(owners) > before:
            views.append(words)
    drawn: Any = figure.data
    for trace, owner in zip(drawn, owners, strict=True):
        trace.visible = owner == views[0]
    buttons = [
        {"label": view, "method": "update", "args": [{"visible": [o == view for o in owners]}]}
        for view in views
    ]
    _dress(figure, buttons, depths_differ(results), rows)
    for i, metric in enumerate(shown):
        if metric.name == RATIO:
            figure.update_yaxes(_LOG, row=i // _COLUMNS + 1, col=i % _COLUMNS + 1)
    return figure


def draw_metric(
    results: Sequence[MeasuredCurves],
    metric: str,
    view: int = 0,
    methods: Collection[str] | None = None,
) -> go.Figure | None:
    """One metric: a curve per model and method, its 95 % interval shaded.

    Args:
        results: What was measured; several may be of one model.
        metric: Name of a metric.
        view: Index into `VIEWS`.
        methods: Which methods; all by default.

    Returns:
        A figure for a light or a dark page, None where no result knows the metric.
    """
    _, tokens, by_length = VIEWS[view]
    found = [
        line
        for line in lines(results, metric, tokens, by_length)
        if methods is None or line.entry["method"] in methods
    ]
    if not found:
        return None
    figure = go.Figure([trace for line in found for trace in _traces(line, is_first=True)])
    dress(figure)
    unit = next(one.unit for one in METRICS if one.name == metric)
    words = "depth, share of the layers" if depths_differ(results) else "decoder layer"
    figure.update_xaxes(title=axis_title(words))
    figure.update_yaxes(title=axis_title(unit), rangemode="tozero")
    if metric == RATIO:
        figure.update_yaxes(_LOG)
    # The legend lies below, two curves a line.
    legend = 84 + 11 * len(found)
    figure.update_layout(height=340 + legend, margin={"b": legend})
    return figure


def _traces(line: Line, is_first: bool) -> tuple[go.Scatter, go.Scatter]:
    """The interval as an area, and the curve."""
    entry, name = line.entry, escape(line.label)
    depth, mean, low, high, median = line.at_known("mean", "low", "high", "median")
    symbol = _SYMBOLS.get(line.marker, line.marker)
    group = {"legendgroup": name, "hoverinfo": "skip", "showlegend": False}
    area = go.Scatter(
        x=[*depth, *depth[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        opacity=0.2,
        fillcolor=line.colour,
        line={"width": 0},
        mode="lines",
        **group,
    )
    curve = go.Scatter(
        x=depth,
        y=mean,
        customdata=list(zip(low, high, median, strict=True)),
        name=name,
        legendgroup=name,
        showlegend=is_first,
        mode="lines+markers",
        line={"color": line.colour, "dash": line.dash},
        marker={"symbol": symbol, "size": 6},
        hovertemplate=(
            "%{x}: %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}], "
            f"median %{{customdata[2]:.3f}}, n = {entry['n']}<extra>{name}</extra>"
        ),
    )
    return area, curve


def _dress(figure: go.Figure, buttons: list[dict], by_share: bool, rows: int) -> None:
    figure.update_layout(
        template="plotly_white",
        height=_PANEL_HEIGHT * rows + 200,
        title="Attention by decoder layer; shaded: 95 % interval over images",
        legend={"orientation": "h", "y": -0.05},
        updatemenus=[
            {"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.06, "yanchor": "bottom"}
        ],
        margin={"t": 140},
    )
    figure.update_annotations(font_size=12)
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(title="share of depth" if by_share else "layer", title_font_size=11)
