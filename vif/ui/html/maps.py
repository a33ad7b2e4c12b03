"""The heatmaps as HTML: one per answer, their difference, and the sheet of all layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vif.draw import render
from vif.draw.charts import method_label
from vif.trace import Trace
from vif.ui.html.markup import (
    bar,
    chip,
    crosses,
    figure,
    number,
    percent,
    quoted,
    rectangles,
    short_label,
    text,
    tones,
)
from vif.ui.state.result import Result, View
from vif.ui.state.sinks import TEST

# What is smaller is rounding, and is drawn as nothing.
_SMALLEST = 1e-5
_SHEET_QUANTILE = 0.995
SINK_NOTE = (
    f"A sink is a token that draws attention whatever is asked; here by the {TEST}, in the answer "
    "that others are compared with. What the question is truly about can pass it too."
)


def head_words(view: View) -> str:
    """Returns the head rule as words."""
    rules = {"mean": "mean of heads", "max": "max over heads"}
    return rules.get(str(view.head), f"head {view.head}")


def quantity(view: View) -> str:
    """Returns what the colours stand for."""
    share = "share of the image part" if view.normalised else "share of the row"
    if not view.adds_up:
        share = "largest share of any head" + (", scaled to sum 1" if view.normalised else "")
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
    """One map per answer on one shared scale; differences where they are asked for, or just one."""
    asked = view.layer
    if asked is not None:
        view = replace(view, layer=result.first.nearest_layer(asked))
    fields = {name: _field(result, view, name) for name in result.traces}
    top = max(map(highest, fields.values()))
    is_difference = view.show == "difference" and bool(result.others)
    shown = [result.baseline] if is_difference else list(result.traces)
    figures = [_map(name, result, view, fields[name], top) for name in shown]
    if is_difference or len(result.others) == 1:
        base = fields[result.baseline]
        differences = {name: fields[name] - base for name in result.others}
        limit = max(highest(np.abs(field)) for field in differences.values())
        figures += [_difference(n, result, view, field, limit) for n, field in differences.items()]
    note = f'<p class="vl-note vl-sinks">{SINK_NOTE}</p>' if view.marks_sinks else ""
    if asked != view.layer:
        words = (
            f"Layer {asked} has no attention; layer {view.layer}, the nearest that has, is shown."
        )
        note += f'<p class="vl-note">{words}</p>'
    return f'<div class="vl-cols vl-maps-{len(figures)}">{"".join(figures)}</div>{note}'


def _field(result: Result, view: View, name: str) -> np.ndarray:
    """The chosen map of one answer on the pixels of the picture."""
    trace = result.traces[name]
    values = view.values(trace, view.layer, result.sinks(name, view))
    return view.field(trace, values, result.picture)


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
    sinks = result.sinks(name, view)
    share = _share(trace, view, view.layer, sinks)
    total = f" In all <b>{share}</b> of the row." if share else ""
    words = f"{told}, {quantity(view)}, 0 – {number(top)}.{total}{named}{unseen_words(field)}"
    if view.marks_sinks:
        boxes += crosses(trace.cells[sinks & view.is_drawn(trace)], image.shape)
        words += f" {_sink_words(view.raw(trace, view.layer), sinks, view)}"
    scale = bar(
        render.colour_bar(result.picture, view.palette, view.opacity),
        ("0", "one scale for all answers", number(top)),
    )
    shown = figure(image, spoken, words, boxes)
    return (
        f'<section class="vl-map {tones(result.traces)[name]}" data-method="{text(name)}">'
        f"<h4>{text(method_label(name))}: where it looked</h4>{shown}{scale}</section>"
    )


def _share(trace: Trace, view: View, layer: int | None, sinks: np.ndarray) -> str:
    """Which part of the row a map shows, in percent; empty where its values add up to none."""
    if view.normalised or not view.adds_up:
        return ""
    return percent(float(view.values(trace, layer, sinks).sum()))


def _sink_words(row: np.ndarray, is_sink: np.ndarray, view: View) -> str:
    """How many sinks there are and how much they hold, or how much was taken out with them."""
    if not is_sink.any():
        return "No token of the image is a sink."
    count = f"{is_sink.sum()} sink{'s' if is_sink.sum() > 1 else ''}, crossed"
    if not view.adds_up:
        return f"{count}{' and taken out' if view.show == 'removed' else ''}."
    held, share = float(row[is_sink].sum()), float(row[is_sink].sum() / max(row.sum(), 1e-12))
    amount = f"<b>{percent(held)}</b> of the row, {percent(share)} of its image part"
    return f"{count}, {'taken out' if view.show == 'removed' else 'hold'}: {amount}."


def _difference(name: str, result: Result, view: View, field: np.ndarray, limit: float) -> str:
    """Where an answer looks more (orange) and less (blue) than the one it is compared with."""
    image = render.overlay_difference(result.picture, field, limit, view.opacity)
    boxes, _ = _asked(result, image)
    layer = "Mean of all layers" if view.layer is None else f"Layer {view.layer}"
    shown_range = f"−{number(limit)} – +{number(limit)}" if limit > _SMALLEST else "no difference"
    own, pair = short_label(name), f"{short_label(name)} − {short_label(result.baseline)}"
    told = f"{layer}, {head_words(view)}, token {view.token + 1}: {text(pair)}, {shown_range}."
    is_clear = limit > _SMALLEST
    scale = bar(
        render.difference_bar(result.picture, view.opacity),
        (f"−{number(limit)} less", "0", f"more +{number(limit)}")
        if is_clear
        else (f"less with {own}", "0", f"more with {own}"),
    )
    shown = figure(image, f"Difference of two heatmaps over the image: {pair}", told, boxes)
    return (
        '<section class="vl-map vl-diff" data-method="difference">'
        f"<h4>Difference: {text(pair)}</h4>{shown}{scale}</section>"
    )


def _asked(result: Result, image: np.ndarray) -> tuple[str, str]:
    """Boxes of the asked objects as SVG, and the words that name them in a caption."""
    if result.truth is None or not result.truth.boxes:
        return "", ""
    return rectangles(result.truth.boxes, image.shape), " Dashed: what was asked about."


def contact_sheet(result: Result, view: View) -> str:
    """All layers of all answers as small maps on one scale; a click chooses the layer."""
    layers = result.first.attention_layers.tolist()
    sinks = {name: result.sinks(name, view) for name in result.traces}
    maps = {
        name: [view.field(trace, view.values(trace, i, sinks[name]), result.thumb) for i in layers]
        for name, trace in result.traces.items()
    }
    values = np.array(list(maps.values()))
    values = values[~np.isnan(values)]
    # One bright token in one layer would leave all other pictures dark.
    top = float(max(np.quantile(values, _SHEET_QUANTILE), _SMALLEST)) if len(values) else _SMALLEST
    rows = "".join(
        _sheet_row(name, result, view, dict(zip(layers, fields, strict=True)), top)
        for name, fields in maps.items()
    )
    scale = bar(
        render.colour_bar(result.picture, view.palette, view.opacity),
        (
            "0",
            f"{quantity(view)}, one scale for all",
            f"{number(top)} and more (up to {number(highest(values))})",
        ),
    )
    frames = (
        ' Frames: <span class="vl-key vl-learning">learning layers</span> are read to find where '
        'the answer lies, <span class="vl-key vl-injection">injection layers</span> are steered '
        "there. Where nothing is injected, frames only mark the same layers."
        if result.injecting
        else ""
    )
    is_full = len(layers) == result.first.num_layers
    which = "All layers" if is_full else "All layers that have attention"
    told = (
        f"{which}, {head_words(view)}, token {view.token + 1}.{frames} Click a layer to see it "
        "large."
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


def _sheet_row(
    name: str, result: Result, view: View, maps: dict[int, np.ndarray], top: float
) -> str:
    """The layers of one answer that have attention."""
    trace, sinks = result.traces[name], result.sinks(name, view)
    thumbs = []
    for layer, field in maps.items():
        image = render.overlay(result.thumb, field, top, view.palette, view.opacity)
        # Ranges belong to the methods that inject; others borrow them for comparison.
        roles = role_of(trace, layer) if result.injecting else []
        share = _share(trace, view, layer, sinks)
        badges = "".join(f'<em class="vl-key vl-{role}">{role}</em>' for role in roles)
        thumbs.append(
            chip(
                layer,
                f'<img src="{render.data_url(image, 80)}" alt=""><span>Layer {layer}'
                f"{f'<small>{share}</small>' if share else ''}</span>"
                f"{badges}",
                pressed=layer == view.layer,
                kind="layer",
                class_=" ".join(["vl-chip", "vl-thumb", *(f"vl-is-{role}" for role in roles)]),
                aria_label=f"{method_label(name)}, layer {layer}"
                + (f", {' and '.join(roles)} layer" if roles else ""),
            )
        )
    colour = tones(result.traces)[name]
    return (
        f'<div class="vl-sheet-row {colour}"><h4>{text(method_label(name))}</h4>'
        f'<div class="vl-thumbs" role="group">{"".join(thumbs)}</div></div>'
    )
