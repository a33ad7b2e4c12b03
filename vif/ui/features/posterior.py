"""Prior and posterior of the question: what VIF would look at if it knew the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vif.beliefs.likeliest import likeliest_answers
from vif.beliefs.posterior import beliefs
from vif.session import Session
from vif.ui.actions.events import SLOW
from vif.ui.actions.problems import STOPPED
from vif.ui.features.ladder import question_of
from vif.ui.html.beliefs import belief_figure
from vif.ui.html.stage import asked_html
from vif.ui.html.templates import notice
from vif.ui.state.form import Form, Truth
from vif.ui.tab import Data
from vif.ui.theme import html_block, script
from vif.ui.wiring import Wiring

_NOTE = (
    '<p class="vl-note">The prior shows where VIF looks without the answer. The posterior '
    "shows where it would look given an answer: the prior times the likelihood of that answer "
    "at each place. If you type no answer, VIF uses the right one, if it is known, and the "
    "model's likeliest answers.</p>"
)
MOST = 4


@dataclass(frozen=True)
class Posterior:
    """The components of the panel."""

    answer: gr.Textbox
    show: gr.Button
    place: gr.HTML


def build_posterior() -> Posterior:
    """Builds the tab of prior and posterior."""
    html_block(_NOTE)
    with gr.Row(elem_classes="vl-run vl-belief-run"):
        answer = gr.Textbox(
            "", label="What if the answer were", placeholder="for example: red", max_lines=1,
            scale=2, elem_id="belief-answer",
        )  # fmt: skip
        show = gr.Button(
            "Show prior and posterior", size="sm", min_width=160, elem_id="belief-show"
        )
    place = html_block(js_on_load=script("frames.js"), elem_id="beliefs")
    return Posterior(answer, show, place)


def connect_posterior(panel: Posterior, wiring: Wiring) -> None:
    """Connects the button and the typed answer."""
    c = wiring.controls

    def show(data: Data) -> Iterator[dict[Any, Any]]:
        cancel = threading.Event()
        yield {**wiring.busy(cancel), panel.place: notice("The model is reading.")}
        found, problem = wiring.run_form(figure_of, data, cancel, data[panel.answer])
        yield {c.message: "", panel.place: found or problem or STOPPED}

    inputs = {*wiring.run_inputs, panel.answer}
    outputs = [c.run, c.stop, c.message, wiring.cancel, panel.place]
    for trigger in (panel.show.click, panel.answer.submit):
        wiring.settle(trigger(show, inputs, outputs, **SLOW))


def figure_of(
    session: Session, form: Form, truths: list[Truth], typed: str | None, cancel: threading.Event
) -> str:
    """Prior and posteriors of the question in the form, as HTML.

    Args:
        session: The model that is asked.
        form: What is filled in.
        truths: Known answers about the picture.
        typed: An answer to suppose; blank for the right one and the model's own.
        cancel: Set by another thread to stop.

    Raises:
        InputError: What was given cannot be used.
        Cancelled: If it was stopped.
    """
    question = question_of(form, truths).opened()
    if supposed := (typed or "").strip():
        answers = [supposed, *filter(None, [question.answer])]
    else:
        own = likeliest_answers(session, question, cancel=cancel)
        answers = [*filter(None, [question.answer]), *own]
    found = beliefs(session, question, list(dict.fromkeys(answers))[:MOST], cancel=cancel)
    figure = belief_figure(found, question.picture, question.boxes or (), question.answer or None)
    return asked_html(question.text) + figure
