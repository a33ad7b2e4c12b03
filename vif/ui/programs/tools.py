"""Further endpoints for programs: the list of methods, and the attenuation ladder.

Each is an endpoint of the page's API and a tool of its MCP server. What they are told about their
parameters is in their docstrings, one line each.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np

from vif import methods as registry
from vif.inputs.images import open_image
from vif.inputs.schema import TrackedAnswerInput
from vif.probes.ladder import Ladder, attenuation_ladder
from vif.question import Question
from vif.session import Session
from vif.ui.actions.ask import steering_method
from vif.ui.guard import MODEL
from vif.ui.panels import inputs
from vif.ui.zero import run_model

# Tokens of an answer that is tracked where none is given.
_ANSWER_TOKENS = 8


def add_tools(session: Session) -> None:
    """Adds ``/methods`` and ``/attenuation`` to the page that is being built."""
    steering = steering_method(session).name

    def attenuation(image: str, question: str, answer: str) -> dict[str, Any]:
        """Shows how attention on the image and the probability of an answer fall with text.

        The same question is asked after 0 to 384 tokens of unrelated text, plain and with VIF.

        Args:
            image: The picture, as a data: URL or as a file that was uploaded here.
            question: What to ask about it, in English, at most 2000 characters.
            answer: The answer whose probability is tracked, at most 200 characters; empty: what
                the plain model says.

        Returns:
            lengths, and by method: probability, and image_share by length and layer.
        """
        asked = TrackedAnswerInput.read({"question": question, "answer": answer})
        question, answer = asked.question, asked.answer
        found = run_model(session, _ladder, image, question, answer, ("plain", steering))
        return {"model": session.name, "question": question, **_as_json(found)}

    def methods() -> list[dict[str, Any]]:
        """Lists the methods that a question can be answered by, with their settings and costs.

        Returns:
            name, summary, cost and options of each method; needs says what has to be given.
        """
        return [_described(registry.find(name), session) for name in registry.names()]

    with gr.Row(visible=False):
        given = [
            inputs.Image(label="image", type="filepath"),
            inputs.Textbox(label="question"),
            inputs.Textbox("", label="answer"),
        ]
        ladders, listed = gr.JSON(label="attenuation"), gr.JSON(label="methods")
        ask, look = gr.Button("attenuation"), gr.Button("methods")
    ask.click(
        attenuation, given, ladders, api_name="attenuation", concurrency_limit=None,
        concurrency_id=MODEL,
    )  # fmt: skip
    look.click(methods, None, listed, api_name="methods", queue=False)


def _ladder(
    session: Any, image: str, question: str, answer: str, methods: tuple[str, ...]
) -> Ladder:
    """The ladder of an answer; if it is empty, of the plain model's own answer."""
    picture = open_image(image)
    if not answer.strip():
        told = session.ask(picture, question, ["plain"], max_new_tokens=_ANSWER_TOKENS)
        answer = told["plain"].answer
    return attenuation_ladder(session, Question(picture, question, answer=answer), methods)


def _as_json(ladder: Ladder) -> dict[str, Any]:
    """A ladder as JSON values."""
    return {
        "answer": ladder.answer,
        "lengths": ladder.lengths.tolist(),
        "methods": {
            name: {
                "probability": np.round(ladder.probability[i], 6).tolist(),
                "image_share": _numbers(ladder.share[i]),
            }
            for i, name in enumerate(ladder.methods)
        },
    }


def _described(method: registry.Method, session: Session) -> dict[str, Any]:
    """One method as JSON values."""
    needs = {"oracle": "boxes", "look": "look", "vif": "" if session.adapter else "an adapter"}
    return {
        "name": method.name,
        "summary": method.summary,
        "needs": needs.get(method.name, ""),
        "extra_passes": method.passes(session.adapter is not None),
        "branches": method.branches,
        "options": [
            {"name": o.name, "default": o.default, "low": o.low, "high": o.high, "text": o.text}
            for o in method.options
        ],
    }


def _numbers(values: np.ndarray) -> list[Any]:
    """Numbers by length and layer; None where a layer has no attention."""
    return [[None if np.isnan(v) else round(float(v), 6) for v in row] for row in values]
