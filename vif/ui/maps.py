"""The heatmaps as HTML: one per answer, their difference, and the sheet of all layers."""

from __future__ import annotations

import numpy as np

from vif import render
from vif.charts import method_label
from vif.trace import Trace
from vif.ui.markup import bar, chip, figure, number, percent, quoted, rectangles, text, tone
from vif.ui.state import Result, View

# What is smaller is rounding, and is drawn as nothing.
_SMALLEST = 1e-5
_SHEET_QUANTILE = 0.995


def head_words(view: View) -> str:
    """Returns the head rule as words."""
    rules = {"mean": "mean of heads", "max": "max over heads"}
    return rules.get(str(view.head), f"head {view.head}")


def quantity(view: View) -> str:
    """Returns what the colours stand for."""
    share = "share of the image part" if view.normalised else "share of the row"
    if view.scale == "all":
        return f"{share} per area of a whole-image token, all scales added"
    return share if view.normalised else f"{share} per image token"


def caption(trace: Trace, view: View) -> str:
    """Which layer, head and token a map shows; HTML, escaped."""
    layer = "Mean of all layers" if view.layer is None else f"Layer {view.layer}"
    token = quoted(trace, view.token_of(trace))
    # Said, because a chosen token may lie beyond the end of the shorter answer.
    last = " (its last)" if view.token_of(trace) != view.token else ""
    return f"{layer}, {head_words(view)}, {token}{last}"


def heatmaps(result: Result, view: View) -> str:
    """One map per answer on one shared scale, and the difference where there are two."""
    maps = {name: view.values(trace, view.layer) for name, trace in result.traces.items()}
    fields = {
        name: view.field(result.traces[name], values, result.picture)
        for name, values in maps.items()
    }
    top = max(map(highest, fields.values()))
    figures = [_map(name, result, view, fields[name], top) for name in maps]
    if result.steered is not None:
        figures.append(_difference(result, view, fields[result.steered.method] - fields["plain"]))
    return f'<div class="vl-cols vl-count-{len(figures)}">{"".join(figures)}</div>'


def highest(field: np.ndarray) -> float:
    """Returns the largest value that is drawn, a little above zero at least."""
    return float(max(field[~np.isnan(field)].max(initial=0), _SMALLEST))


def unseen_words(field: np.ndarray) -> str:
    """Returns what hatched pixels are, if there are any."""
    return " Grey and hatched: pixels that no token shown here sees." if _has_gaps(field) else ""


def _has_gaps(field: np.ndarray) -> bool:
    return bool(np.isnan(field).any())


def _map(name: str, result: Result, view: View, field: np.ndarray, top: float) -> str:
    """The map of one answer with its colour bar."""
    trace = result.traces[name]
    image = render.overlay(result.picture, field, top, view.palette, view.opacity)
    boxes, named = _asked(result, image)
    told = caption(trace, view)
    spoken = f"Heatmap of the {method_label(name)} answer over the image"
    share = float(view.values(trace, view.layer).sum())
    total = "" if view.normalised else f" In all <b>{percent(share)}</b> of the row."
    words = f"{told}, {quantity(view)}, 0 – {number(top)}.{total}{named}{unseen_words(field)}"
    scale = bar(
        render.colour_bar(result.picture, view.palette, view.opacity),
        ("0", "one scale for all answers", number(top)),
    )
    shown = figure(image, spoken, words, boxes)
    return (
        f'<section class="vl-map {tone(name)}" data-method="{text(name)}">'
        f"<h4>{text(method_label(name))}: where it looked</h4>{shown}{scale}</section>"
    )


def _difference(result: Result, view: View, field: np.ndarray) -> str:
    """Where VIF looks more (orange) and less (blue) than plain."""
    limit = highest(np.abs(field))
    image = render.overlay_difference(result.picture, field, limit, view.opacity)
    boxes, _ = _asked(result, image)
    layer = "Mean of all layers" if view.layer is None else f"Layer {view.layer}"
    shown_range = f"−{number(limit)} – +{number(limit)}" if limit > _SMALLEST else "no difference"
    words = f"{layer}, {head_words(view)}, token {view.token + 1}: VIF − plain, {shown_range}."
    scale = bar(
        render.difference_bar(result.picture, view.opacity),
        ("less with VIF", "0", "more with VIF")
        if limit <= _SMALLEST
        else (f"−{number(limit)} less", "0", f"more +{number(limit)}"),
    )
    shown = figure(image, "Difference of the two heatmaps over the image", words, boxes)
    return (
        '<section class="vl-map vl-diff" data-method="difference">'
        f"<h4>Difference: VIF − plain</h4>{shown}{scale}</section>"
    )


def _asked(result: Result, image: np.ndarray) -> tuple[str, str]:
    """Boxes of the asked objects as SVG, and the words that name them in a caption."""
    if result.truth is None or not result.truth.boxes:
        return "", ""
    return rectangles(result.truth.boxes, image.shape), " Dashed: what was asked about."


def contact_sheet(result: Result, view: View) -> str:
    """All layers of all answers as small maps on one scale; a click chooses the layer."""
    layers = range(result.first.num_layers)
    maps = {
        name: [view.field(trace, view.values(trace, i), result.thumb) for i in layers]
        for name, trace in result.traces.items()
    }
    values = np.array(list(maps.values()))
    values = values[~np.isnan(values)]
    # One bright token in one layer would leave all other pictures dark.
    top = float(max(np.quantile(values, _SHEET_QUANTILE), _SMALLEST)) if len(values) else _SMALLEST
    rows = "".join(_sheet_row(name, result, view, values, top) for name, values in maps.items())
    scale = bar(
        render.colour_bar(result.picture, view.palette, view.opacity),
        (
            "0",
            f"{quantity(view)}, one scale for all",
            f"{number(top)} and more (up to {number(highest(values))})",
        ),
    )
    told = (
        f"All layers, {head_words(view)}, token {view.token + 1}. Frames: "
        '<span class="vl-key vl-learning">learning layers</span> are read to find where the answer '
        'lies, <span class="vl-key vl-injection">injection layers</span> are steered there. In the '
        "plain answer nothing is injected; its frames only mark the same layers. Click a layer to "
        "see it large."
    )
    return f'<div class="vl-sheet"><p class="vl-note">{told}</p>{rows}{scale}</div>'


def role_of(trace: Trace, layer: int) -> list[str]:
    """Returns what a layer is for: ``"learning"``, ``"injection"``, both or neither."""
    roles = []
    for role in ("learning", "injection"):
        low, high = trace.meta.get(role) or (0, -1)
        if layer in range(low, high + 1, trace.meta.get("stride", 1)):
            roles.append(role)
    return roles


def _sheet_row(name: str, result: Result, view: View, maps: list[np.ndarray], top: float) -> str:
    """The layers of one answer."""
    trace = result.traces[name]
    # Ranges belong to the method that injects; plain borrows them for comparison.
    source = result.steered or trace
    thumbs = []
    for layer, field in enumerate(maps):
        image = render.overlay(result.thumb, field, top, view.palette, view.opacity)
        roles = role_of(source, layer)
        share = (
            f"<small>{percent(float(view.values(trace, layer).sum()))}</small>"
            if not view.normalised
            else ""
        )
        badges = "".join(f'<em class="vl-key vl-{role}">{role}</em>' for role in roles)
        thumbs.append(
            chip(
                layer,
                f'<img src="{render.data_url(image, 80)}" alt=""><span>Layer {layer}{share}</span>'
                f"{badges}",
                pressed=layer == view.layer,
                kind="layer",
                class_=" ".join(["vl-chip", "vl-thumb", *(f"vl-is-{role}" for role in roles)]),
                aria_label=f"{method_label(name)}, layer {layer}"
                + (f", {' and '.join(roles)} layer" if roles else ""),
            )
        )
    return (
        f'<div class="vl-sheet-row {tone(name)}"><h4>{text(method_label(name))}</h4>'
        f'<div class="vl-thumbs" role="group">{"".join(thumbs)}</div></div>'
    )
