"""The endpoint ``/ask``, for programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.methods import names
from vif.ui.actions.ask import Session, answer_as_json
from vif.ui.guard import MODEL
from vif.ui.panels import inputs
from vif.ui.state.drawing import read_boxes

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
        image: str,
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
        try:
            return answer_as_json(
                session,
                image,
                question,
                context=context,
                methods=methods,
                learning=(learning_start, learning_end),
                injection=(injection_start, injection_end),
                stride=stride,
                alpha=alpha,
                max_new_tokens=max_new_tokens,
                seed=seed,
                options=options or {},
                look=read_boxes(look) or None,
            )
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    button.click(ask, asked, output, api_name="ask", concurrency_limit=None, concurrency_id=MODEL)


def _inputs(session: Session) -> list[gr.components.Component]:
    """The parameters of the endpoint; labels are their names, values their defaults."""
    defaults = session.defaults
    return [
        inputs.Image(label="image", type="filepath"),
        gr.Textbox(label="question"),
        gr.Textbox("", label="context"),
        gr.Dropdown(
            names(),
            value=["plain", "vif"] if session.adapter else ["plain"],
            multiselect=True,
            allow_custom_value=True,
            label="methods",
        ),
        gr.Number(defaults.learning[0], precision=0, label="learning_start"),
        gr.Number(defaults.learning[1], precision=0, label="learning_end"),
        gr.Number(defaults.injection[0], precision=0, label="injection_start"),
        gr.Number(defaults.injection[1], precision=0, label="injection_end"),
        gr.Number(defaults.stride, precision=0, label="stride"),
        gr.Number(defaults.alpha, label="alpha"),
        gr.Number(defaults.max_new_tokens, precision=0, label="max_new_tokens"),
        gr.Number(defaults.seed, precision=0, label="seed"),
        inputs.Json({}, form=_OPTIONS, label="options"),
        inputs.Json([], form=_LOOK, label="look"),
    ]
