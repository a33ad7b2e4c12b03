"""The one public endpoint, ``/ask``, for programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.ui.actions.ask import Session, answer_as_json
from vif.ui.guard import MODEL
from vif.ui.panels import inputs
from vif.ui.state.drawing import read_boxes


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
        """Answers one question about one image with every method asked for."""
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
        gr.JSON(["plain", "vif"] if session.adapter else ["plain"], label="methods"),
        gr.Number(defaults.learning[0], precision=0, label="learning_start"),
        gr.Number(defaults.learning[1], precision=0, label="learning_end"),
        gr.Number(defaults.injection[0], precision=0, label="injection_start"),
        gr.Number(defaults.injection[1], precision=0, label="injection_end"),
        gr.Number(defaults.stride, precision=0, label="stride"),
        gr.Number(defaults.alpha, label="alpha"),
        gr.Number(defaults.max_new_tokens, precision=0, label="max_new_tokens"),
        gr.Number(defaults.seed, precision=0, label="seed"),
        gr.JSON({}, label="options"),
        gr.JSON([], label="look"),
    ]
