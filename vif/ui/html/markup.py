"""Small pieces of HTML. Every text that comes from a model or a person goes through `text`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

import numpy as np

from vif.draw import render
from vif.draw.charts import OTHER_COLOURS, method_label
from vif.trace import Trace

# One listener per component: whatever carries data-pick reports its number, and data-kind tells
# apart what was picked when a component holds several kinds.
PICK_SCRIPT = """
element.addEventListener('click', (event) => {
  const target = event.target.closest('[data-pick]');
  if (!target || target.disabled) return;
  trigger('select', {index: Number(target.dataset.pick), kind: target.dataset.kind || ''});
});
"""

# The sheet of all layers is large; choosing a layer sends its number and not the sheet again.
SHEET_SCRIPT = (
    PICK_SCRIPT
    + """
watch(['value', 'chosen'], () => {
  for (const button of element.querySelectorAll('[data-pick]')) {
    button.setAttribute('aria-pressed', String(Number(button.dataset.pick) === props.chosen));
  }
});
"""
)
NO_LAYER = -1


def text(value: object) -> str:
    """Escapes a text for HTML, quotes included."""
    return html.escape(str(value), quote=True)


def tones(names: Iterable[str]) -> dict[str, str]:
    """Returns the class that colours each answer, in the same order as the curves' colours."""
    own = {"plain": "vl-plain", "vif": "vl-vif", "vif-free": "vl-free"}
    return {
        name: own.get(name, f"vl-other-{position % len(OTHER_COLOURS)}")
        for position, name in enumerate(names)
    }


def short_label(method: str) -> str:
    """Returns the name of a method for the inside of a sentence or the head of a column."""
    return {"vif": "VIF", "vif-free": "Training-free VIF"}.get(method) or method_label(method)


def visible_token(token: str) -> str:
    """Returns a token as a person can see it: blanks and line ends get a sign."""
    shown = token.replace("\n", "⏎").replace("\t", "⇥")
    return shown if shown.strip() else "␣" * max(1, len(shown))


def quoted(trace: Trace, token: int) -> str:
    """Returns the number and text of a token, escaped; tokens count from 1 for people."""
    return f"token {token + 1} “{text(visible_token(trace.tokens[token]))}”"


def number(value: float) -> str:
    """Returns a number with about two significant digits."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.2g}"


def percent(value: float) -> str:
    """Returns a share in percent, one decimal below ten."""
    return f"{100 * value:.0f} %" if value >= 0.0995 else f"{100 * value:.1f} %"


def figure(image: np.ndarray, alt: str, caption: str, shapes: str = "", quality: int = 88) -> str:
    """A picture with shapes over it and a caption.

    Args:
        image: Picture, (H, W, 3) uint8.
        alt: What a screen reader says; plain text.
        caption: HTML, already escaped.
        shapes: SVG elements in pixels of the picture.
        quality: JPEG quality.
    """
    height, width = image.shape[:2]
    svg = (
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true" focusable="false">{shapes}</svg>'
        if shapes
        else ""
    )
    return (
        f'<figure class="vl-figure"><div class="vl-picture">'
        f'<img src="{render.data_url(image, quality)}" width="{width}" height="{height}" '
        f'alt="{text(alt)}">{svg}</div><figcaption>{caption}</figcaption></figure>'
    )


def bar(strip: np.ndarray, labels: Iterable[str]) -> str:
    """A colour bar with its range printed under it.

    Args:
        strip: Colours, (1, W, 3) uint8.
        labels: What stands under it from left to right; plain text.
    """
    ticks = "".join(f"<span>{text(label)}</span>" for label in labels)
    return (
        f'<div class="vl-bar"><img src="{render.data_url(strip)}" alt="">'
        f'<div class="vl-bar-ticks">{ticks}</div></div>'
    )


def chip(
    pick: int, body: str, pressed: bool = False, kind: str = "", **attributes: str | None
) -> str:
    """A button that reports its number when it is clicked.

    Args:
        pick: The number it reports.
        body: HTML, already escaped.
        pressed: Whether it is the chosen one.
        kind: What is picked, for components with several kinds.
        attributes: More attributes; None leaves one out, ``_`` in a name becomes ``-``.
    """
    pairs: Mapping[str, str | None] = {
        "class": "vl-chip",
        "data_kind": kind or None,
        "aria_pressed": "true" if pressed else "false",
        **{name.rstrip("_"): value for name, value in attributes.items()},
    }
    rest = "".join(
        f' {name.replace("_", "-")}="{text(value)}"'
        for name, value in pairs.items()
        if value is not None
    )
    return f'<button type="button" data-pick="{pick}"{rest}>{body}</button>'


def rectangles(boxes: Iterable[tuple[float, float, float, float]], shape: tuple[int, ...]) -> str:
    """True boxes as SVG: a white line on a dark one, so that it shows on any picture.

    Args:
        boxes: (x0, y0, x1, y1) in [0, 1].
        shape: Shape of the picture, (H, W, ...).
    """
    height, width = shape[:2]
    drawn = []
    for x0, y0, x1, y1 in boxes:
        place = (
            f'x="{x0 * width - 3:.1f}" y="{y0 * height - 3:.1f}" rx="3" '
            f'width="{(x1 - x0) * width + 6:.1f}" height="{(y1 - y0) * height + 6:.1f}"'
        )
        drawn += [f'<rect class="vl-box-under" {place}/>', f'<rect class="vl-box" {place}/>']
    return "".join(drawn)


def crosses(cells: np.ndarray, shape: tuple[int, ...]) -> str:
    """Tokens crossed out as SVG, dark under light.

    Args:
        cells: (x0, y0, x1, y1) in [0, 1], (n, 4); NaN rows are left out.
        shape: Shape of the picture, (H, W, ...).
    """
    height, width = shape[:2]
    drawn = "".join(
        f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}M{x0:.1f} {y1:.1f}L{x1:.1f} {y0:.1f}"
        for x0, y0, x1, y1 in cells[np.isfinite(cells).all(1)] * [width, height, width, height]
    )
    if not drawn:
        return ""
    return f'<path class="vl-cross-under" d="{drawn}"/><path class="vl-cross" d="{drawn}"/>'
