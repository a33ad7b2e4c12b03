"""The endpoint ``/ask``, for programs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr
from gradio.components import Component

from vif import methods
from vif.errors import InputError
from vif.inputs.boxes import check_boxes
from vif.inputs.schema import PublicQuestionInput, shortened
from vif.session import Session
from vif.ui.actions.ask import answer_as_json
from vif.ui.guard import MODEL
from vif.ui.panels import inputs
from vif.ui.zero import run_model

_NUMBER = {"type": "number"}
_OPTIONS = {
    "type": "object",
    "additionalProperties": {"type": "object", "additionalProperties": _NUMBER},
}
_LOOK = {
    "type": "array",
    "items": {"type": "array", "items": _NUMBER, "minItems": 4, "maxItems": 4},
}


def add_endpoint(session: Session) -> None:
    """Adds ``/ask`` to the page that is being built; its components are never shown."""
    with gr.Row(visible=False):
        asked = _inputs(session)
        output = gr.JSON(label="answers")
        button = gr.Button("ask")

    def ask(
        image: str | None,
        question: str,
        context: str,
        methods: list[str],
        learning_start: int,
        learning_end: int,
        injection_start: int,
        injection_end: int,
        stride: int,
        alpha: float,
        max_new_tokens: int,
        seed: int,
        options: dict[str, dict[str, float]],
        look: list[list[float]],
    ) -> dict[str, Any]:
        """Answers one question about one image with every method asked for, on the same weights.

        Args:
            image: The picture, as a data: URL or as a file that was uploaded here.
            question: What to ask about it, in English, at most 2000 characters.
            context: Unrelated text to put before the question; may be empty.
            methods: Names out of the tool methods, such as plain and vif; at least one.
            learning_start: First layer that the place of the answer is read from, from 0.
            learning_end: Last layer that it is read from.
            injection_start: First layer whose attention is steered.
            injection_end: Last layer whose attention is steered.
            stride: Every how many layers, from 1.
            alpha: Strength, 0 to 1.
            max_new_tokens: Longest answer in tokens.
            seed: Of everything random, from 0.
            options: Settings of single methods, as {"pai": {"alpha": 0.3}}; may be {}.
            look: Boxes [x0, y0, x1, y1] from 0 to 1 to look at, for the method look; may be [].

        Returns:
            answers, attenuation and entropy by layer for each method, and injected mixtures.
        """
        known = PublicQuestionInput.model_fields
        given = {name: value for name, value in locals().items() if name in known}
        return _answer(session, image, PublicQuestionInput.read(given))

    button.click(ask, asked, output, api_name="ask", concurrency_limit=None, concurrency_id=MODEL)


def _answer(session: Session, image: str | None, asked: PublicQuestionInput) -> dict[str, Any]:
    """Checks a question and asks it."""
    _check(asked, session)
    return run_model(
        session,
        answer_as_json,
        image,
        asked.question,
        methods=asked.methods,
        context=asked.context,
        look=asked.boxes or None,
        **asked.settings(),
    )


def _check(asked: PublicQuestionInput, session: Session) -> None:
    """Refuses invalid requests before a picture is decoded."""
    replace(session.defaults, **asked.settings()).check(session.num_layers)
    check_boxes(asked.boxes)
    for name in asked.methods:
        methods.find(name).resolve(asked.options.get(name, {}))
    for name in asked.options:
        if name not in asked.methods:
            raise InputError(
                f"Settings were given for {shortened(name)}, which is not among the requested "
                f"methods: {', '.join(asked.methods)}."
            )


def _inputs(session: Session) -> list[Component]:
    """The parameters of the endpoint; labels are their names, values their defaults."""
    defaults = session.defaults
    return [
        inputs.Image(label="image", type="filepath"),
        inputs.Textbox(label="question"),
        inputs.Textbox("", label="context"),
        inputs.Dropdown(
            methods.names(),
            value=["plain", "vif"] if session.adapter else ["plain"],
            multiselect=True,
            allow_custom_value=True,
            label="methods",
        ),
        inputs.Number(defaults.learning[0], precision=0, label="learning_start"),
        inputs.Number(defaults.learning[1], precision=0, label="learning_end"),
        inputs.Number(defaults.injection[0], precision=0, label="injection_start"),
        inputs.Number(defaults.injection[1], precision=0, label="injection_end"),
        inputs.Number(defaults.stride, precision=0, label="stride"),
        inputs.Number(defaults.alpha, label="alpha"),
        inputs.Number(defaults.max_new_tokens, precision=0, label="max_new_tokens"),
        inputs.Number(defaults.seed, precision=0, label="seed"),
        inputs.JSON({}, form=_OPTIONS, label="options"),
        inputs.JSON([], form=_LOOK, label="look"),
    ]
