"""The attenuation ladder: the question after increasing lengths of text, all asked at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from vif.beliefs.likeliest import likeliest_answers
from vif.inputs.images import open_image
from vif.probes import Ladder, attenuation_ladder
from vif.probes.ladder import LENGTHS
from vif.question import Question
from vif.session import Session
from vif.ui.actions.ask import steering_method
from vif.ui.actions.events import SLOW, scroll_to
from vif.ui.actions.problems import STOPPED
from vif.ui.html.ladder import ladder_figure
from vif.ui.html.stage import asked_html, picture
from vif.ui.html.templates import notice
from vif.ui.state.form import Form, Truth
from vif.ui.tab import Data
from vif.ui.theme import html_block, script
from vif.ui.wiring import Wiring

TAB = "ladder"
# The slider's own `release` also comes when its number box loses the focus (Gradio 6.31): whoever
# types a length and clicks Run would find Run locked by the ladder.
_RELEASED = """
document.addEventListener('pointerup', (event) => {
  if (!event.target.matches('#text-length input[type="range"]')) return;
  setTimeout(() => trigger('select'), 0);
});
"""
_NOTE = (
    '<p class="vl-note">When you release the slider of unrelated text, the question on the '
    "left is asked at every length, with and without VIF.</p>"
)


def build_ladder() -> tuple[gr.Button, gr.HTML]:
    """Builds the button and the place of the ladder."""
    html_block(_NOTE)
    button = gr.Button("Ask at all lengths", size="sm", scale=0, elem_id="ladder-ask")
    return button, html_block(js_on_load=script("frames.js"), elem_id="ladder-place")


def connect_ladder(ladder: tuple[gr.Button, gr.HTML], wiring: Wiring) -> None:
    """Connects the text slider, on release, and the button."""
    (button, place), c, tabs = ladder, wiring.controls, wiring.answers.tabs

    def climb(data: Data) -> Iterator[dict[Any, Any]]:
        cancel = threading.Event()
        waiting = notice("The question is being asked at all lengths.")
        yield {**wiring.busy(cancel), place: waiting, tabs: gr.Tabs(selected=TAB)}
        found, problem = wiring.run_form(ladder_of, data, cancel)
        if found is None:
            yield {c.message: "", place: problem or STOPPED}
            return
        at = int(np.abs(found.lengths - int(data[c.text_length])).argmin())
        image = open_image(data[wiring.field("image")])
        question = question_of(wiring.read_form(data), data[wiring.truths] or [])
        shown = picture(image, "The picture of the question", boxes=question.boxes or ())
        figure = ladder_figure(found, shown, at, is_known=bool(question.answer))
        yield {c.message: "", place: asked_html(question.text) + figure}

    outputs = [c.run, c.stop, c.message, wiring.cancel, place, tabs]
    released = html_block(js_on_load=_RELEASED)
    # Keys move the slider without releasing it; hence the button.
    for trigger in (released.select, button.click):
        climbed = trigger(climb, {*wiring.run_inputs, c.text_length}, outputs, **SLOW)
        wiring.settle(climbed)
        climbed.success(None, **scroll_to("ladder-place"))


def question_of(form: Form, truths: list[Truth]) -> Question:
    """The question in the form, with its answer and place if they are known."""
    form.check()
    truth = form.truth_in(truths)
    known: dict[str, Any] = {"answer": truth.answer, "boxes": truth.boxes or None} if truth else {}
    return form.about(**known)


def ladder_of(session: Session, form: Form, truths: list[Truth], cancel: threading.Event) -> Ladder:
    """The ladder of the question in the form; without a known answer, of the model's own.

    Raises:
        InputError: What was given cannot be used.
        Cancelled: If it was stopped.
    """
    question = question_of(form, truths).opened()
    if not question.answer:
        (own,) = likeliest_answers(session, replace(question, context=""), 1, cancel=cancel)
        question = replace(question, answer=own)
    given = form.shown(session.defaults).settings()
    given.pop("context")
    settings = replace(session.defaults, **given)
    methods = ("plain", steering_method(session).name)
    return attenuation_ladder(
        session, question, methods, lengths=LENGTHS, settings=settings, cancel=cancel
    )
