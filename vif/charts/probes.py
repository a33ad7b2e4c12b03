"""Plotly figures of probes and the sweep: arrays in, figures out; styled as `vif.charts.style`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from vif.charts.layer_axes import (
    DIVERGING,
    MARGINS,
    SEQUENTIAL,
    headline,
    heatmap,
    layer_axis,
    span_of,
    square_axes,
    tick_step,
)
from vif.charts.style import (
    INJECTION_COLOUR,
    LEARNING_COLOUR,
    OTHER_COLOURS,
    PLAIN_COLOUR,
    TEXT_COLOUR,
    axis_title,
    dress,
)

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
_BAND = "rgba(100, 116, 139, 0.22)"
_HEIGHT = 330


def knockout(flows: Sequence[str], change: np.ndarray, spans: np.ndarray) -> go.Figure:
    """Draws what cutting each flow does to an answer, window by window.

    Args:
        flows: Names, ``"from->to"``.
        change: Change of the answer's probability in per cent, (F, L).
        spans: First and last layer of every window, (L, 2).

    Returns:
        A figure with a line per flow over the middle layers of the windows.
    """
    figure = go.Figure()
    for i, (flow, values) in enumerate(zip(flows, change, strict=True)):
        name = flow.replace("->", " → ")
        figure.add_trace(
            go.Scatter(
                x=list(range(len(values))),
                y=values.tolist(),
                name=name,
                mode="lines+markers",
                line={"color": _colours()[i % len(_colours())], "width": 2.5},
                marker={"size": 8, "symbol": _SYMBOLS[i % len(_SYMBOLS)]},
                customdata=[span_of(*span) for span in spans.tolist()],
                hovertemplate="layers %{customdata}: %{y:+.1f} %<extra>" + name + "</extra>",
            )
        )
    dress(figure)
    layer_axis(figure, change.shape[1], "middle layer of the window that is cut")
    figure.update_yaxes(title=axis_title("change of the probability, %"))
    # Nothing can fall by more than 100 %; a rise may be large.
    top = 1.08 * max(20.0, float(np.nanmax(change)))
    figure.update_yaxes(range=[-106, top], zeroline=True, zerolinecolor=TEXT_COLOUR)
    figure.update_layout(height=_HEIGHT + MARGINS + 22 * (len(flows) // 3))
    return figure


def exit_sweep(
    after: np.ndarray, kl: np.ndarray, probability: np.ndarray, same: np.ndarray, first: int
) -> go.Figure:
    """Draws what is left of an answer when the image is dropped after each layer.

    Args:
        after: Last layer that sees the image, (L + 1,), -1 for none.
        kl: KL(plain || dropped) of the first token, (L + 1,), nats.
        probability: Of the tracked answer, (L + 1,).
        same: Whether the answer stays the same, (L + 1,) bool.
        first: First layer from which it stays; marked.

    Returns:
        A figure with the probability above the divergence, filled marks where the answer stays.
    """
    titles = ("<b>Probability</b> of the answer", "<b>Divergence</b> of the first token")
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.14, subplot_titles=titles)
    symbols = ["circle" if stays else "circle-open" for stays in same]
    panels = (
        (probability, PLAIN_COLOUR, "%{y:.3f}"),
        (kl, OTHER_COLOURS[0], "%{y:.3g}"),
    )
    for row, (values, colour, form) in enumerate(panels, start=1):
        figure.add_trace(
            go.Scatter(
                x=after.tolist(),
                y=values.tolist(),
                mode="lines+markers",
                showlegend=False,
                line={"color": colour, "width": 2.5},
                marker={"size": 9, "symbol": symbols, "color": colour},
                customdata=["same answer" if stays else "another answer" for stays in same],
                hovertemplate="image up to layer %{x}: " + form + ", %{customdata}<extra></extra>",
            ),
            row=row,
            col=1,
        )
    figure.add_vline(x=first, line={"color": INJECTION_COLOUR, "width": 1.5, "dash": "dash"})
    dress(figure)
    layer_axis(figure, len(after) - 1, "")
    shown = [-1, *range(0, len(after) - 1, tick_step(len(after) - 1))]
    names = ["never", *map(str, shown[1:])]
    figure.update_xaxes(range=[-1.5, len(after) - 1.5], tickvals=shown, ticktext=names)
    title = axis_title("last layer that sees the image; filled: the answer stays the same")
    figure.update_xaxes(title=title, row=2, col=1)
    figure.update_yaxes(range=[0, 1.04], title=axis_title("probability"), row=1, col=1)
    figure.update_yaxes(rangemode="tozero", title=axis_title("KL, nats"), row=2, col=1)
    figure.update_layout(height=_HEIGHT + MARGINS)
    return figure


def deletion(
    shares: np.ndarray, top: np.ndarray, random: np.ndarray, name: str = "the map"
) -> go.Figure:
    """Draws an answer's probability as tokens are hidden: a map's largest against random ones.

    Args:
        shares: Shares of the image tokens that are hidden, (K,), in [0, 1].
        top: Probability with the largest of the map hidden, (K,).
        random: With random tokens hidden, (D, K); drawn as a band from lowest to highest.
        name: What the map is called.
    """
    x, grey = (100 * shares).tolist(), PLAIN_COLOUR
    figure = go.Figure()
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_trace(go.Scatter(x=x, y=random.max(0).tolist(), **edge))
    band = edge | {"fill": "tonexty", "fillcolor": _BAND}
    figure.add_trace(go.Scatter(x=x, y=random.min(0).tolist(), **band))
    curves = (
        (random.mean(0), f"random tokens, mean of {len(random)}", grey, "dot", "circle-open"),
        (top, f"largest of {name}", INJECTION_COLOUR, "solid", "circle"),
    )
    for values, label, colour, dash, symbol in curves:
        figure.add_trace(
            go.Scatter(
                x=x,
                y=values.tolist(),
                name=label,
                mode="lines+markers",
                line={"color": colour, "width": 2.5, "dash": dash},
                marker={"size": 8, "symbol": symbol, "color": colour},
                hovertemplate="%{x:.3g} % hidden: %{y:.3f}<extra>" + label + "</extra>",
            )
        )
    dress(figure)
    figure.update_xaxes(title=axis_title("image tokens hidden, %"), range=[-2, 102])
    figure.update_yaxes(title=axis_title("probability of the answer"), range=[0, 1.04], dtick=0.25)
    figure.update_layout(height=_HEIGHT + 30)
    return figure


def sweep(
    change: np.ndarray, best: tuple[int, int], learning: tuple[int, int] | None = None
) -> go.Figure:
    """Draws the change of an answer's log-probability for every injection range.

    Args:
        change: By start and end, (L, L), NaN where the end comes before the start.
        best: Start and end to mark.
        learning: Learning range; a line stands under the starts that do not lie after it.

    Returns:
        A heatmap whose colours are symmetric around 0, with its range printed.
    """
    num_layers = len(change)
    limit = max(float(np.nanmax(np.abs(change))), 1e-9)
    figure = go.Figure(
        heatmap(
            change,
            DIVERGING,
            (-limit, limit),
            "ln p",
            "layers %{y} to %{x}: %{z:+.3f}<extra></extra>",
        )
    )
    start, end = best
    figure.add_shape(
        type="rect", x0=end - 0.5, x1=end + 0.5, y0=start - 0.5, y1=start + 0.5,
        line={"color": TEXT_COLOUR, "width": 3},
    )  # fmt: skip
    dress(figure)
    square_axes(figure, "last injection layer", "first injection layer", num_layers, num_layers)
    if learning is not None and learning[1] + 1 < num_layers:
        line = {"color": LEARNING_COLOUR, "width": 1.5, "dash": "dash"}
        figure.add_hline(y=learning[1] + 0.5, line=line)
    lowest, highest = float(np.nanmin(change)), float(np.nanmax(change))
    words = f"from {lowest:+.3f} to {highest:+.3f}; best: layers {span_of(*best)}"
    headline(figure, "<b>Change of the log-probability</b>, " + words)
    return figure


def head_divergence(divergence: np.ndarray, relative: bool = False) -> go.Figure:
    """Draws how far every head's output moves when the image is taken away.

    Args:
        divergence: (L, H), >= 0; NaN is left empty.
        relative: Whether it is over the norm of the output; says so.

    Returns:
        A heatmap, layers upwards, that begins at 0, with its range printed.
    """
    top = max(float(np.nanmax(divergence)), 1e-9)
    hover = "layer %{y}, head %{x}: %{z:.3f}<extra></extra>"
    figure = go.Figure(heatmap(divergence, SEQUENTIAL, (0, top), "VHD", hover))
    dress(figure)
    square_axes(figure, "head", "decoder layer", *divergence.shape)
    kind = "over its norm" if relative else "L2 distance"
    headline(figure, f"<b>Head output with and without the image</b>, {kind}, 0 to {top:.3g}")
    return figure


def _colours() -> tuple[str, ...]:
    return (PLAIN_COLOUR, INJECTION_COLOUR, LEARNING_COLOUR, *OTHER_COLOURS)


def lens(rank: np.ndarray, words: Sequence[Sequence[str]]) -> go.Figure:
    """Draws which place the answer's first word has among all words, layer by layer.

    Args:
        rank: Of the answer's first word, (L,); 0 is the likeliest.
        words: Likeliest words of every layer, (L, K); shown on pointing.
    """
    figure = go.Figure(
        go.Scatter(
            y=(rank + 1).tolist(),
            mode="lines+markers",
            line={"color": INJECTION_COLOUR},
            customdata=[", ".join(found) for found in words],
            hovertemplate="layer %{x}: place %{y}; likeliest: %{customdata}<extra></extra>",
        )
    )
    figure.update_yaxes(title=axis_title("place of the answer's first word"), type="log")
    layer_axis(figure, len(rank), "layer")
    dress(figure)
    return figure


def sink_shares(shares: Mapping[str, np.ndarray]) -> go.Figure:
    """Draws how much of the attention on the image lies on sinks, a line per test.

    Args:
        shares: By test, (L,), in [0, 1]; NaN leaves a gap.
    """
    figure = go.Figure()
    for i, (name, curve) in enumerate(shares.items()):
        figure.add_scatter(
            y=[None if np.isnan(v) else 100 * float(v) for v in curve],
            name=name,
            mode="lines+markers",
            line={"color": OTHER_COLOURS[i % len(OTHER_COLOURS)]},
            marker={"symbol": _SYMBOLS[i % len(_SYMBOLS)]},
        )
    figure.update_yaxes(title=axis_title("attention on the image that lies on sinks, %"))
    layer_axis(figure, max(map(len, shares.values())), "layer")
    dress(figure)
    return figure
