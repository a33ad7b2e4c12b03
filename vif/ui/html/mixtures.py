"""The injected mixture as HTML: components over the image, the map they make, the numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vif.draw import render
from vif.errors import InputError
from vif.trace import Mixture
from vif.ui.html.markup import bar, chip, figure, number, rectangles, text
from vif.ui.state.components import Changes
from vif.ui.state.result import MixtureView, Result, View

# Of a component with all the weight; fills of components on one spot add up.
_FILL = 0.35

EMPTY = (
    '<p class="vl-note vl-pad">Nothing was injected into these answers. Choose a method such as '
    "VIF and run to see the mixture of Gaussians that it lays over the image.</p>"
)


def chosen_mixture(result: Result, choice: MixtureView) -> tuple[str, int] | None:
    """Returns whose mixture is shown and its place in the list; None if nothing was injected."""
    injecting = result.injecting
    if not injecting:
        return None
    method = choice.method if choice.method in injecting else next(iter(injecting))
    return method, min(choice.index, len(injecting[method]) - 1)


def mixture_panel(
    result: Result,
    view: View,
    choice: MixtureView,
    changes: Changes | None = None,
) -> str:
    """The chosen injection layer's mixture: rings, map, table and strength of each head.

    Args:
        result: The answers.
        view: Colours and scale.
        choice: Which mixture, and how much of it.
        changes: What a person changed in it.
    """
    key = chosen_mixture(result, choice)
    if key is None:
        return EMPTY
    trace = result.traces[key[0]]
    mixture = trace.mixtures[key[1]]
    # Ranks stay with the model's own weights: a component keeps its number while it is changed.
    order = np.argsort(-mixture.weights, kind="stable")[: choice.shown]
    changes = changes or Changes.of(mixture)
    words = " Drag one to move it."
    if not changes.is_empty:
        words += f" Changed by you: {changes.told()}."
        try:
            mixture = changes.apply(mixture, trace, result.renderer_of(key[0]))
        except InputError as error:
            words = f" {error}"
    shown = Panel(result, view, mixture, order, choice, changes, words)
    parts = [components_figure(shown), map_figure(shown)]
    if mixture.spread.any():
        parts.append(_uncertainty(shown))
    parts.append(f'<div class="vl-stack">{_table(shown)}{_strength(mixture)}</div>')
    return f'<div class="vl-cols">{"".join(parts)}</div>'


class Panel(NamedTuple):
    """Everything the parts of the panel draw from; `top` is the map's last colour if fixed."""

    result: Result
    view: View
    mixture: Mixture
    order: np.ndarray
    choice: MixtureView
    changes: Changes
    words: str = " Drag one to move it."
    top: float | None = None


def components_figure(shown: Panel) -> str:
    """The strongest components as rings of one and two sigma."""
    result, mixture, order = shown.result, shown.mixture, shown.order
    shapes = _rings(shown)
    if result.truth:
        shapes = rectangles(result.truth.boxes, result.picture.shape) + shapes
    held = float(mixture.weights[order].sum())
    if len(order):
        words = (
            f"Injection layer {mixture.layer}: the {len(order)} strongest of "
            f"{len(mixture.weights)} components, {held:.0%} of the weight. Inner ring one "
            f"sigma, outer ring two; a stronger line is a larger weight.{text(shown.words)}"
        )
    else:
        words = f"Injection layer {mixture.layer}: this map is not a mixture of Gaussians."
    drawn = figure(result.picture, "Components of the mixture over the image", words, shapes)
    return f'<section class="vl-map vl-vif vl-movable"><h4>Components</h4>{drawn}</section>'


def _rings(shown: Panel) -> str:
    """SVG ellipses in pixels: a component is round in [0, 1] coordinates, not on a wide picture."""
    mixture, order = shown.mixture, shown.order
    height, width = shown.result.picture.shape[:2]
    heaviest = float(mixture.weights.max(initial=1e-9))
    drawn = []
    # Strongest last, so that it lies on top.
    for rank in reversed(range(len(order))):
        index = int(order[rank])
        x, y = mixture.means[index] * [width, height]
        sigma = float(mixture.sigmas[index])
        weight = float(mixture.weights[index])
        state = " vl-chosen" if rank == shown.choice.chosen else ""
        state += "" if shown.changes.is_heard(index) else " vl-muted-component"
        # Each line is drawn twice, dark under light, so that it shows on any picture.
        rings = "".join(
            f'<ellipse class="vl-{name}" cx="{x:.1f}" cy="{y:.1f}" '
            f'rx="{size * sigma * width:.1f}" ry="{size * sigma * height:.1f}"/>'
            for size, name in ((2, "outer-under"), (2, "outer"), (1, "inner-under"), (1, "inner"))
        )
        drawn.append(
            f'<g class="vl-component{state}" data-drag="{rank}" '
            f'style="--w:{weight / heaviest:.3f};'
            f'--fill:{_FILL * weight:.3f}">{rings}'
            f'<text x="{x:.1f}" y="{y + 7:.1f}">{rank + 1}</text></g>'
        )
    return "".join(drawn)


def map_figure(shown: Panel) -> str:
    """What the mixture weighs each image token with."""
    return _field(
        shown,
        shown.mixture.map,
        "The map it makes",
        f"Injection layer {shown.mixture.layer}: weight of every image token, the sum is 1.",
        "injected weight per image token",
        shown.top,
    )


def _uncertainty(shown: Panel) -> str:
    """How much the map varies over latent samples."""
    return _field(
        shown,
        shown.mixture.spread,
        "How unsure it is",
        f"Injection layer {shown.mixture.layer}: standard deviation of the weight over latent "
        "samples.",
        "standard deviation per image token",
    )


def _field(
    shown: Panel, values: np.ndarray, title: str, words: str, unit: str, top: float | None = None
) -> str:
    """One quantity per image token as a heatmap, on its own scale unless one is given."""
    result, view = shown.result, shown.view
    field = view.field(result.first, values, result.picture)
    top = top or float(max(field[~np.isnan(field)].max(initial=0), 1e-6))
    image = render.overlay(result.picture, field, top, view.palette, view.opacity)
    boxes = rectangles(result.truth.boxes, image.shape) if result.truth else ""
    strip = render.colour_bar(result.picture, view.palette, view.opacity)
    scale = bar(strip, ("0", unit, number(top)))
    drawn = figure(image, title, f"{words} Range 0 – {number(top)}.", boxes)
    return f'<section class="vl-map vl-vif"><h4>{title}</h4>{drawn}{scale}</section>'


def _table(shown: Panel) -> str:
    """Numbers of the components that are drawn; clicks highlight, mute or single one out."""
    mixture, changes = shown.mixture, shown.changes
    rows = []
    for rank, index in enumerate(map(int, shown.order)):
        x, y = mixture.means[index]
        is_chosen = rank == shown.choice.chosen
        weight = float(mixture.weights[index])
        rows.append(
            f"<tr{' class=vl-chosen' if is_chosen else ''}><td>"
            f"{_button(rank, str(rank + 1), 'Highlight', is_chosen, '')}</td>"
            f"<td>{x:.2f}</td><td>{y:.2f}</td><td>{mixture.sigmas[index]:.3f}</td>"
            f'<td><span class="vl-track"><i style="width:{100 * weight:.1f}%"></i></span>'
            f"{weight:.2f}</td><td>"
            f"{_button(rank, 'M', 'Mute', index in changes.muted, 'mute')} "
            f"{_button(rank, 'S', 'Solo', index == changes.solo, 'solo')}</td></tr>"
        )
    return (
        '<section class="vl-panel"><h4>Components by weight</h4><div class="vl-scroll">'
        '<table class="vl-table"><thead><tr><th scope="col">#</th><th scope="col">x</th>'
        '<th scope="col">y</th><th scope="col">sigma</th><th scope="col">weight</th>'
        f"<th></th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="vl-small">x and y from the top left corner, 0 – 1; sigma in the same unit. '
        "M mutes, S lets only this one count.</p>"
        "</section>"
    )


def _button(rank: int, words: str, verb: str, pressed: bool, kind: str) -> str:
    """A small button of the table."""
    label = f"{verb} component {rank + 1}"
    return chip(rank, words, pressed, kind, class_="vl-chip vl-rank", aria_label=label, title=label)


def _strength(mixture: Mixture) -> str:
    """How much of each head's attention was replaced by the map."""
    rows = "".join(
        f'<li><span class="vl-word">head {head}</span>'
        f'<span class="vl-track"><i style="width:{100 * min(1.0, float(s)):.1f}%"></i></span>'
        f'<span class="vl-num">{float(s):.2f}</span></li>'
        for head, s in enumerate(mixture.strength)
    )
    source = f"read from layer {mixture.source}" if mixture.source >= 0 else "a map that was given"
    return (
        f'<section class="vl-panel vl-vif"><h4>Strength per head, layer {mixture.layer}</h4>'
        f'<ul class="vl-bars vl-wide">{rows}</ul><p class="vl-small">Share of attention '
        f"of each head that the map replaced, 0 – 1; {source}.</p></section>"
    )
