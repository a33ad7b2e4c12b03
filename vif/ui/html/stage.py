"""Pictures and curves as SVG that the browser steps through without the server.

What carries ``data-frame`` is shown only while its number is chosen; see ``static/frames.js``.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from vif.inputs.boxes import Box

PICTURE_SIDE = 384
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 300, 170, 36, 14, 10, 36
# A map's faintest cells, in shares of its largest, are not drawn.
_FAINT = 0.03


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        label: Its name.
        values: (n,), in [0, 1].
        tone: Colour class.
        is_dashed: Whether it is dashed.
    """

    label: str
    values: np.ndarray
    tone: str
    is_dashed: bool = False


def data_url(image: Image.Image) -> str:
    """The picture as a PNG inside a URL, its longer side at most `PICTURE_SIDE`."""
    small = image.copy()
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def asked_html(question: str) -> str:
    """The question, above its result: the form may have changed since."""
    return f'<p class="vl-asked-here">“{escape(question)}”</p>'


def picture(
    image: Image.Image,
    label: str,
    *layers: str,
    tone: str = "vl-plain",
    boxes: Iterable[Box] = (),
    mark: Box | None = None,
    can_mark: bool = False,
) -> str:
    """A picture with maps, rings and boxes on it.

    Args:
        image: The picture.
        label: What a screen reader says.
        layers: What is drawn on it, of `heat`, `rings` and `group`.
        tone: Colour class of maps and rings.
        boxes: True places, dashed.
        mark: What was marked by hand.
        can_mark: Whether the browser lets one draw the mark.
    """
    height = _height(image)
    parts = [f'<image href="{data_url(image)}" width="100" height="{height:g}"/>', *layers]
    parts += [_rect(box, height, "vl-true") for box in boxes]
    if mark is not None:
        parts.append(_rect(mark, height, "vl-mark"))
    kind = f"vl-stage-picture {tone}{' vl-markable' if can_mark else ''}"
    return (
        f'<svg class="{kind}" viewBox="0 0 100 {height:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def heat(
    image: Image.Image, cells: np.ndarray, weights: np.ndarray, top: float | None = None
) -> str:
    """A map; zero leaves the picture untouched.

    Args:
        image: The picture.
        cells: Token rectangles, (N, 4), in [0, 1] image coordinates, NaN off the image.
        weights: The map, (N,), >= 0.
        top: Weight of full colour; the map's own largest by default.
    """
    most = float(top if top is not None else np.max(weights)) or 1.0
    scale = np.array([100, _height(image), 100, _height(image)])
    parts = []
    for cell, weight in zip(cells, weights, strict=True):
        if np.isnan(cell).any() or weight < _FAINT * most:
            continue
        x0, y0, x1, y1 = np.clip(cell, 0, 1) * scale
        parts.append(
            f'<rect x="{x0:.2f}" y="{y0:.2f}" width="{x1 - x0:.2f}" '
            f'height="{y1 - y0:.2f}" opacity="{0.8 * min(1.0, weight / most):.2f}"/>'
        )
    return f'<g class="vl-heat">{"".join(parts)}</g>'


def rings(
    image: Image.Image,
    means: np.ndarray,
    sigmas: np.ndarray,
    weights: np.ndarray,
    faint: bool = False,
) -> str:
    """Components of a mixture as rings of one sigma; a stronger line is a larger weight.

    Args:
        image: The picture.
        means: (K, 2), in [0, 1] image coordinates.
        sigmas: (K,), the same unit.
        weights: (K,); what weighs nothing is not drawn.
        faint: Whether they are only guesses.
    """
    height, most = _height(image), float(np.max(weights)) or 1.0
    kind = "vl-guess" if faint else "vl-ring"
    return "".join(
        f'<ellipse class="{kind}" cx="{100 * x:.2f}" cy="{height * y:.2f}" rx="{100 * sigma:.2f}" '
        f'ry="{height * sigma:.2f}" stroke-width="{0.4 + 0.9 * weight / most:.2f}"/>'
        for (x, y), sigma, weight in zip(means, sigmas, weights, strict=True)
        if weight > 0
    )


def group(number: int, content: str) -> str:
    """Drawings that are shown only while their number is chosen."""
    hidden = "" if number == 0 else " hidden"
    return f'<g data-frame="{number}"{hidden}>{content}</g>'


def _height(image: Image.Image) -> float:
    """Height of a picture that is 100 wide."""
    return 100 * image.height / image.width


def _rect(box: Box, height: float, kind: str) -> str:
    x0, y0, x1, y1 = np.array(box) * [100, height, 100, height]
    sides = f'x="{x0:.2f}" y="{y0:.2f}" width="{x1 - x0:.2f}" height="{y1 - y0:.2f}"'
    return f'<rect class="vl-under" {sides}/><rect class="{kind}" {sides}/>'


def chart(
    ticks: Sequence[str],
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    label: str,
    steps: bool = True,
    top: float = 1.0,
) -> str:
    """Curves from 0 to `top` over evenly spaced places, with a mark that follows the chosen one.

    Args:
        ticks: Words under the places, n of them.
        curves: Of n values each.
        x_label: What the places are.
        y_label: What the values are.
        label: What a screen reader says.
        steps: Whether frames are places of the chart.
        top: The largest value of the axis.
    """
    place = [_LEFT + i * (_WIDTH - _LEFT - _RIGHT) / max(1, len(ticks) - 1)
             for i in range(len(ticks))]  # fmt: skip
    parts = [*_axes(ticks, place, x_label, top)]
    if steps:
        parts += [
            f'<line class="vl-cursor" data-frame="{i}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" '
            f'y2="{_HEIGHT - _BOTTOM}"/>'
            for i, x in enumerate(place)
        ]
    for curve in curves:
        parts += _line_with_dots(curve, place, top, steps)
    keys = "".join(
        f'<li class="{c.tone}"><i class="{"vl-dashed" if c.is_dashed else ""}"></i>'
        f"{escape(c.label)}</li>"
        for c in curves
    )
    return (
        f'<figure class="vl-chart"><figcaption>{escape(y_label)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
        f'{"".join(parts)}</svg><ul class="vl-chart-keys">{keys}</ul></figure>'
    )


def _axes(ticks: Sequence[str], place: Sequence[float], x_label: str, top: float) -> Iterator[str]:
    """Grid lines with their values, the words under the places, and what the places are."""
    for value in (0, 0.5, 1):
        yield (
            f'<line class="vl-grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_high(value):.1f}" '
            f'y2="{_high(value):.1f}"/><text x="{_LEFT - 5}" y="{_high(value) + 4:.1f}" '
            f'text-anchor="end">{value * top:g}</text>'
        )
    for x, tick in zip(place, ticks, strict=True):
        yield (
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">'
            f"{escape(tick)}</text>"
        )
    yield (
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )


def _line_with_dots(curve: Curve, place: Sequence[float], top: float, steps: bool) -> Iterator[str]:
    """A curve, and if `steps` a dot per place that is shown with its frame."""
    points = [(x, _high(float(v) / top)) for x, v in zip(place, curve.values, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = " vl-dashed" if curve.is_dashed else ""
    yield f'<polyline class="vl-curve {curve.tone}{dashed}" points="{line}"/>'
    if steps:
        for i, (x, y) in enumerate(points):
            yield (
                f'<circle class="vl-dot {curve.tone}" data-frame="{i}" cx="{x:.1f}" cy="{y:.1f}" '
                f'r="4.5"/>'
            )


def _high(value: float) -> float:
    return _TOP + (1 - min(1.0, max(0.0, value))) * (_HEIGHT - _TOP - _BOTTOM)


def frame(number: int, content: str) -> str:
    """Content that is shown only while its number is chosen."""
    hidden = "" if number == 0 else " hidden"
    return f'<div data-frame="{number}"{hidden}>{content}</div>'


def slider(label: str, names: Sequence[str], can_play: bool = False, at: int = 0) -> str:
    """A slider over frames; `names` are read out."""
    play = (
        '<button type="button" class="vl-button" data-act="play" aria-pressed="false">Play</button>'
    )
    words = "".join(f'<span data-frame="{i}"{" hidden" if i else ""}>{escape(name)}</span>'
                    for i, name in enumerate(names))  # fmt: skip
    return (
        f'<div class="vl-steps">{play if can_play else ""}<label>{escape(label)} '
        f'<input type="range" min="0" max="{len(names) - 1}" step="1" value="{at}" data-frames '
        f'aria-label="{escape(label)}"></label><output aria-live="polite">{words}</output></div>'
    )


def choices(label: str, names: Sequence[str], group: str) -> str:
    """Radio buttons over frames; `group` is a name of their own on the page."""
    marks = "".join(
        f'<label><input type="radio" name="{escape(group)}" value="{i}" data-frames'
        f"{' checked' if i == 0 else ''}> {escape(name)}</label>"
        for i, name in enumerate(names)
    )
    return f'<fieldset class="vl-steps"><legend>{escape(label)}</legend>{marks}</fieldset>'
