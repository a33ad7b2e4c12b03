"""How a row distributes its attention over the parts of the prompt, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from plotly import graph_objects as go

from vif.charts.style import axis_title, dress

_COLOURS = ("#e2661d", "#2f7fc1", "#2f9e8f", "#a4adba", "#b98ac9")


def parts_chart(shares: np.ndarray, parts: Sequence[str], title: str = "") -> go.Figure:
    """Areas on top of each other that fill the row.

    Args:
        shares: (L, P), rows sum to 1, NaN in layers that have no attention.
        parts: Names of the P parts.
        title: Above the figure.
    """
    layers = np.flatnonzero(~np.isnan(shares[:, 0]))
    figure = go.Figure()
    for place, part in enumerate(parts):
        figure.add_trace(
            go.Scatter(
                x=layers.tolist(),
                y=shares[layers, place].tolist(),
                name=part,
                stackgroup="row",
                mode="lines",
                line={"color": _COLOURS[place % len(_COLOURS)], "width": 1},
                hovertemplate="layer %{x}: %{y:.3f}<extra>" + part + "</extra>",
            )
        )
    dress(figure)
    figure.update_layout(height=320, title={"text": title, "font": {"size": 13}})
    figure.update_xaxes(title=axis_title("decoder layer"))
    figure.update_yaxes(title=axis_title("share of attention"), range=[0, 1])
    return figure
