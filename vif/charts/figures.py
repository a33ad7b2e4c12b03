"""Figures for papers and slides, as SVG and PNG: traces in, bytes out.

They show what the page shows, on the same scale: 0 to the largest value of all answers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from PIL import Image

from vif import metrics
from vif.charts.style import INJECTION_COLOUR, method_colour, method_label
from vif.draw import render
from vif.inputs.boxes import Box
from vif.trace import Mixture, Trace

SIDE = 420
# What is smaller is rounding, and is drawn as nothing.
SMALLEST = 1e-5
_PANEL, _DPI, _RINGS = 3.2, 160, 6
# Text stays text in SVG, and the same figure is the same bytes.
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "vif-lens", "font.size": 9}


@dataclass(frozen=True, eq=False)
class Shown:
    """Which map is drawn, and how.

    Attributes:
        token: Answer token, 0-based; the last of a shorter answer.
        layer: Decoder layer, 0-based, or None for the mean of all.
        head: Head, 0-based, or ``"mean"`` / ``"max"``.
        normalised: Show where only: the map of each answer sums to 1.
        palette: A key of `render.PALETTES`.
        opacity: Of the map, in [0, 1].
        scale: One of `render.SCALES`.
        without: By answer, image tokens to leave out, for example sinks, (N,) bool.
    """

    token: int = 0
    layer: int | None = None
    head: int | str = "mean"
    normalised: bool = False
    palette: str = "viridis"
    opacity: float = 0.6
    scale: str = "whole"
    without: Mapping[str, np.ndarray] = field(default_factory=dict)

    def field(self, name: str, trace: Trace, shape: tuple[int, int]) -> np.ndarray:
        """The map of one answer on the pixels of a picture, (H, W); NaN where no token lies."""
        token = min(self.token, len(trace.tokens) - 1)
        values = render.pick_map(trace.rows, token, self.layer, self.head)
        if name in self.without:
            values = np.where(self.without[name], 0, values)
        if self.normalised:
            values = values / max(values.sum(), 1e-12)
        return render.paint_scale(values, trace.cells, trace.blocks, self.scale, shape)

    @property
    def words(self) -> str:
        """The shown layer, head and token in words."""
        layer = "mean of all layers" if self.layer is None else f"layer {self.layer}"
        rules = {"mean": "mean of heads", "max": "max over heads"}
        head = rules.get(str(self.head), f"head {self.head}")
        what = "share of the image part" if self.normalised else "share of the row"
        return f"{layer}, {head}, token {self.token + 1}, {what}"


def shared_top(fields: Sequence[np.ndarray]) -> float:
    """The last value of the scale that all answers share."""
    return float(max(SMALLEST, *(f[~np.isnan(f)].max(initial=0) for f in fields)))


def draw(
    picture: Image.Image, traces: Mapping[str, Trace], shown: Shown, boxes: Sequence[Box] = ()
) -> dict[str, bytes]:
    """All figures of a question.

    Args:
        picture: The picture.
        traces: One trace per answer.
        shown: Which map.
        boxes: What was asked about, drawn dashed.

    Returns:
        Files by name: ``figures/heatmaps`` and ``figures/attenuation``, each ``.svg`` and ``.png``.
    """
    with rc_context(_STYLE):
        figures = {
            "heatmaps": heatmaps(render.shrink(picture, SIDE), traces, shown, boxes),
            "attenuation": attenuation(traces, shown.token),
        }
        return {
            f"figures/{name}.{kind}": _bytes(figure, kind)
            for name, figure in figures.items()
            for kind in ("svg", "png")
        }


def heatmaps(
    picture: np.ndarray, traces: Mapping[str, Trace], shown: Shown, boxes: Sequence[Box] = ()
) -> Figure:
    """One map per answer over the picture, on one scale, with the injected components as rings."""
    height, width = picture.shape[:2]
    fields = {name: shown.field(name, trace, (height, width)) for name, trace in traces.items()}
    top = shared_top(list(fields.values()))
    size = (_PANEL * max(len(traces), 1.6), _PANEL * height / width + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(2, len(traces), height_ratios=(1, 0.05))
    panels = [figure.add_subplot(grid[0, i]) for i in range(len(traces))]
    for axes, (name, trace) in zip(panels, traces.items(), strict=True):
        drawn = render.overlay(picture, fields[name], top, shown.palette, shown.opacity)
        axes.imshow(drawn, extent=(0, 1, 1, 0), aspect=height / width, interpolation="nearest")
        axes.set_title(f"{method_label(name)}: {trace.answer[:40] or '(empty)'}", parse_math=False)
        axes.set_axis_off()
        for x0, y0, x1, y1 in boxes:
            place = {"xy": (x0, y0), "width": x1 - x0, "height": y1 - y0, "fill": False}
            axes.add_patch(Rectangle(**place, edgecolor="white", linewidth=1.6))
            axes.add_patch(Rectangle(**place, edgecolor="black", linewidth=0.9, linestyle="--"))
        for mixture in trace.mixtures:
            if mixture.layer == shown.layer:
                _rings(axes, mixture)
    _scale(figure.add_subplot(grid[1, :]), picture, top, shown)
    return figure


def _rings(axes: Axes, mixture: Mixture) -> None:
    """The strongest components at one and two sigma; a stronger line is a larger weight."""
    heaviest = max(float(mixture.weights.max(initial=0)), 1e-9)
    for index in np.argsort(-mixture.weights, kind="stable")[:_RINGS]:
        weight = float(mixture.weights[index]) / heaviest
        for sigmas in (2, 4):
            side = sigmas * float(mixture.sigmas[index])
            for colour, line in (("black", 2.2), (INJECTION_COLOUR, 1.2)):
                shape = Ellipse(tuple(mixture.means[index]), side, side, fill=False, color=colour)
                shape.set_linewidth(line)
                shape.set_alpha(0.25 + 0.75 * weight)
                shape.set_clip_path(axes.patch)
                axes.add_patch(shape)


def _scale(axes: Axes, picture: np.ndarray, top: float, shown: Shown) -> None:
    """The colour bar with its range."""
    colours = render.colour_bar(picture, shown.palette, shown.opacity)
    axes.imshow(colours, extent=(0, top, 0, 1), aspect="auto")
    axes.set_yticks([])
    axes.set_xticks([0, top], ["0", f"{top:.2g}"])
    axes.set_xlabel(f"{shown.words}; one scale for all answers")


def attenuation(traces: Mapping[str, Trace], token: int) -> Figure:
    """How much each layer looks at the image, by answer."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for position, (name, trace) in enumerate(traces.items()):
        share = metrics.image_share(trace, min(token, len(trace.tokens) - 1))
        colour = method_colour(name, position)
        axes.plot(range(len(share)), share, marker="o", color=colour, label=method_label(name))
    axes.set_ylim(0, 1)
    axes.set_xlabel("layer")
    axes.set_ylabel("share of attention on the image")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _bytes(figure: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    plain = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(stream, format=kind, dpi=_DPI, metadata=plain)
    return stream.getvalue()
