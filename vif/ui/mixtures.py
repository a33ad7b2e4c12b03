"""The injected mixture as HTML: components over the image, the map they make, the numbers."""

from __future__ import annotations

import numpy as np

from vif import render
from vif.trace import Mixture
from vif.ui.markup import bar, chip, figure, number, rectangles
from vif.ui.state import MixtureView, Result, View

# Of a component with all the weight; fills of components on one spot add up.
_FILL = 0.35

EMPTY = (
    '<p class="vl-note vl-pad">Nothing was injected into this answer. Switch VIF on and run to see '
    "the mixture of Gaussians that it lays over the image.</p>"
)


def mixture_panel(result: Result, view: View, choice: MixtureView) -> str:
    """The chosen injection layer's mixture: rings, map, table and strength of each head."""
    mixtures = result.mixtures
    if not mixtures:
        return EMPTY
    mixture = mixtures[min(choice.index, len(mixtures) - 1)]
    order = np.argsort(-mixture.weights)[: choice.shown]
    parts = [_components(result, mixture, order, choice), _map(result, view, mixture)]
    if mixture.spread.any():
        parts.append(_uncertainty(result, view, mixture))
    numbers = _table(mixture, order, choice) + _strength(mixture)
    parts.append(f'<div class="vl-stack">{numbers}</div>')
    return f'<div class="vl-cols">{"".join(parts)}</div>'


def _components(result: Result, mixture: Mixture, order: np.ndarray, choice: MixtureView) -> str:
    """The strongest components as rings of one and two sigma."""
    shapes = _rings(mixture, order, choice, result.picture.shape)
    if result.truth:
        shapes = rectangles(result.truth.boxes, result.picture.shape) + shapes
    held = float(mixture.weights[order].sum())
    if len(order):
        words = (
            f"Injection layer {mixture.layer}: the {len(order)} strongest of "
            f"{len(mixture.weights)} components, {held:.0%} of the weight. Inner ring one "
            "sigma, outer ring two; a stronger line is a larger weight."
        )
    else:
        words = f"Injection layer {mixture.layer}: this map is not a mixture of Gaussians."
    shown = figure(result.picture, "Components of the mixture over the image", words, shapes)
    return f'<section class="vl-map vl-vif"><h4>Components</h4>{shown}</section>'


def _rings(mixture: Mixture, order: np.ndarray, choice: MixtureView, shape: tuple[int, ...]) -> str:
    """SVG ellipses in pixels: a component is round in [0, 1] coordinates, not on a wide picture."""
    height, width = shape[:2]
    heaviest = float(mixture.weights.max(initial=1e-9))
    drawn = []
    # Strongest last, so that it lies on top.
    for rank in reversed(range(len(order))):
        index = order[rank]
        x, y = mixture.means[index] * [width, height]
        sigma = float(mixture.sigmas[index])
        weight = float(mixture.weights[index])
        chosen = " vl-chosen" if rank == choice.chosen else ""
        # Each line is drawn twice, dark under light, so that it shows on any picture.
        rings = "".join(
            f'<ellipse class="vl-{name}" cx="{x:.1f}" cy="{y:.1f}" '
            f'rx="{size * sigma * width:.1f}" ry="{size * sigma * height:.1f}"/>'
            for size, name in ((2, "outer-under"), (2, "outer"), (1, "inner-under"), (1, "inner"))
        )
        drawn.append(
            f'<g class="vl-component{chosen}" style="--w:{weight / heaviest:.3f};'
            f'--fill:{_FILL * weight:.3f}">{rings}'
            f'<text x="{x:.1f}" y="{y + 7:.1f}">{rank + 1}</text></g>'
        )
    return "".join(drawn)


def _map(result: Result, view: View, mixture: Mixture) -> str:
    """What the mixture weighs each image token with."""
    return _field(
        result,
        view,
        mixture.map,
        "The map it makes",
        f"Injection layer {mixture.layer}: weight of every image token, the sum is 1.",
        "injected weight per image token",
    )


def _uncertainty(result: Result, view: View, mixture: Mixture) -> str:
    """How much the map varies over latent samples."""
    return _field(
        result,
        view,
        mixture.spread,
        "How unsure it is",
        f"Injection layer {mixture.layer}: standard deviation of the weight over latent samples.",
        "standard deviation per image token",
    )


def _field(
    result: Result, view: View, values: np.ndarray, title: str, words: str, unit: str
) -> str:
    """One quantity per image token as a heatmap with its own scale."""
    field = view.field(result.first, values, result.picture)
    top = float(max(field[~np.isnan(field)].max(initial=0), 1e-6))
    image = render.overlay(result.picture, field, top, view.palette, view.opacity)
    boxes = rectangles(result.truth.boxes, image.shape) if result.truth else ""
    strip = render.colour_bar(result.picture, view.palette, view.opacity)
    scale = bar(strip, ("0", unit, number(top)))
    shown = figure(image, title, f"{words} Range 0 – {number(top)}.", boxes)
    return f'<section class="vl-map vl-vif"><h4>{title}</h4>{shown}{scale}</section>'


def _table(mixture: Mixture, order: np.ndarray, choice: MixtureView) -> str:
    """Numbers of the components that are drawn; a click highlights one."""
    rows = []
    for rank, index in enumerate(order):
        x, y = mixture.means[index]
        is_chosen = rank == choice.chosen
        button = chip(
            rank,
            str(rank + 1),
            pressed=is_chosen,
            class_="vl-chip vl-rank",
            aria_label=f"Highlight component {rank + 1}",
        )
        weight = float(mixture.weights[index])
        rows.append(
            f"<tr{' class=vl-chosen' if is_chosen else ''}><td>{button}</td>"
            f"<td>{x:.2f}</td><td>{y:.2f}</td><td>{mixture.sigmas[index]:.3f}</td>"
            f'<td><span class="vl-track"><i style="width:{100 * weight:.1f}%"></i></span>'
            f"{weight:.2f}</td></tr>"
        )
    return (
        '<section class="vl-panel"><h4>Components by weight</h4><div class="vl-scroll">'
        '<table class="vl-table"><thead><tr><th scope="col">#</th><th scope="col">x</th>'
        '<th scope="col">y</th><th scope="col">sigma</th><th scope="col">weight</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="vl-small">x and y from the top left corner, 0 – 1; sigma in the same unit.</p>'
        "</section>"
    )


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
