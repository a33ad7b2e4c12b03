"""Marking a place on the picture: to steer the model there, or to guess where the answer is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vif import metrics
from vif.charts.style import method_label
from vif.draw import render
from vif.errors import InputError
from vif.inputs.images import open_image
from vif.inputs.schema import MOST_METHODS
from vif.ui.html.templates import fill, notice
from vif.ui.html.words import counted, percent
from vif.ui.state.drawing import Drawing, score
from vif.ui.state.form import Truth, truth_of
from vif.ui.state.result import Result
from vif.ui.theme import html_block, script

_SIDE = 420
_QUALITY = 70  # a first visit loads this picture, too
_LEAD = (
    '<p class="vl-small">Drag a box or paint on the picture. Steer the model there with the '
    "same strength as VIF, or first guess where the answer lies and check your guess.</p>"
)
_NO_PICTURE = '<p class="vl-small">There is no picture to draw on.</p>'


@dataclass(frozen=True)
class LookBox:
    """The components of the panel."""

    panel: gr.Accordion
    canvas: gr.HTML
    note: gr.HTML
    ask: gr.Button
    check: gr.Button


def build_look(image: Any) -> LookBox:
    """Builds the panel, folded up."""
    with gr.Accordion(method_label("look"), open=False, elem_id="look") as panel:
        html_block(_LEAD)
        canvas = html_block(
            canvas_html(image), js_on_load=script("draw.js"), truth=[], shapes=[], elem_id="canvas"
        )
        note = html_block(elem_id="look-note", elem_classes="vl-message")
        with gr.Row(elem_classes="vl-run"):
            ask = gr.Button("Ask with this place", size="sm", min_width=90, elem_id="look-ask")
            check = gr.Button("Check my guess", size="sm", min_width=90, elem_id="look-check")
    return LookBox(panel, canvas, note, ask, check)


def canvas_html(image: Any) -> str:
    """The picture with the tools to draw on it.

    Args:
        image: Path, array or PIL image; anything that is none gives one sentence instead.
    """
    try:
        picture = render.shrink(open_image(image), _SIDE) if image is not None else None
    except InputError:
        picture = None
    if picture is None:
        return _NO_PICTURE
    height, width = picture.shape[:2]
    return fill("look", picture=render.data_url(picture, _QUALITY), width=width, height=height)


def new_picture(image: Any, drawing: Drawing | None = None) -> tuple[gr.HTML, Drawing, str]:
    """A new picture to draw on; the marks on the old one are removed.

    Args:
        image: As for `canvas_html`.
        drawing: What is marked on the new one.
    """
    drawing = drawing or Drawing()
    canvas = gr.HTML(canvas_html(image), truth=[], shapes=drawing.as_shapes())
    return canvas, drawing, notice(_counted(drawing))


def take_drawing(event: gr.EventData) -> tuple[Any, str, Any]:
    """The drawing and a note on it; the true place is hidden again."""
    try:
        drawing = Drawing.read(event._data)
    except InputError as error:
        return gr.skip(), notice(str(error), is_problem=True), gr.skip()
    return drawing, notice(_counted(drawing)), gr.HTML(truth=[])


def _counted(drawing: Drawing) -> str:
    """What is marked, in words."""
    parts = []
    if drawing.boxes:
        parts.append(counted(len(drawing.boxes), "box", "es"))
    if drawing.strokes:
        parts.append(counted(len(drawing.strokes), "stroke"))
    return f"Marked: {' and '.join(parts)}." if parts else ""


def with_place(drawing: Drawing | None, chosen: Sequence[str]) -> list[str]:
    """Returns the methods to compare with the marked place among them.

    Raises:
        InputError: If nothing is marked, or four others are compared already.
    """
    if drawing is None or drawing.is_empty:
        raise InputError("Nothing is marked: draw a box or paint on the picture first.")
    if "look" not in chosen and len(chosen) >= MOST_METHODS:
        raise InputError(
            f"{len(chosen)} methods are already chosen: remove one, then ask with this place."
        )
    return list(dict.fromkeys([*chosen, "look"]))


def check_guess(
    drawing: Drawing, question: str, truths: Sequence[Truth], result: Result | None
) -> tuple[str, Any]:
    """How well the marked place matches the true one, and the true one on the picture."""
    truth = truth_of(question, truths)
    if truth is None or not truth.boxes:
        words = (
            "The place of the answer to this question is unknown: draw a new scene and use one "
            "of its questions."
        )
        return notice(words, is_problem=True), gr.skip()
    try:
        found = score(drawing, truth.boxes)
    except InputError as error:
        return notice(str(error), is_problem=True), gr.skip()
    where = "inside" if found.hits else "outside"
    rows = [("You", f"overlap (IoU) {percent(found.overlap)}, centre {where} the true box")]
    if result is not None and result.truth is not None and result.truth.same_as(truth):
        rows += [(method_label(name), _pointed(result, name)) for name in result.traces]
    return fill("guess", rows=rows), gr.HTML(truth=[list(box) for box in truth.boxes])


def _pointed(result: Result, name: str) -> str:
    """Whether the model's attention points at the true place: mean over layers, first token."""
    weights, asked = metrics.mean_weights(result.traces[name]), result.truth_coverage(name)
    assert asked is not None  # The guess was already compared with it, so it is known.
    hits = metrics.points_into(weights, asked)
    share = percent(float(weights @ asked))
    where = "points at it" if hits else "points elsewhere"
    return f"{where}, {share} of its attention on the image lies there"
