"""Shared by all lessons: the model, the examples, the shown result, and asking an example."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from vif.errors import InputError
from vif.inputs.boxes import Box
from vif.question import Question
from vif.scenes import is_correct, unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.session import Session
from vif.trace import Trace
from vif.ui.lessons.steps import Step
from vif.ui.state.examples import PageExample
from vif.ui.tones import colour_classes

LONGEST = 8  # tokens of an answer


@dataclass(frozen=True)
class Classroom:
    """What every step of the lessons needs: the model, its examples, the marked box.

    Attributes:
        session: Model and adapter.
        examples: Of the page.
        bench: Entry of the benchmark without text, or None.
        mark: The box that the class drew, or None.
        cancel: Stops what runs.
    """

    session: Session
    examples: Sequence[PageExample]
    bench: dict[str, Any] | None = None
    mark: Box | None = None
    cancel: threading.Event | None = None


@dataclass(frozen=True)
class Reveal:
    """What a step reveals after the prediction.

    Attributes:
        html: The stage.
        saw: What is to be seen in it, in one sentence with its numbers.
        holds: Whether this model shows what the step is about.
    """

    html: str
    saw: str
    holds: bool


def example_of(step: Step, examples: Sequence[PageExample]) -> PageExample:
    """The example that a step is about.

    Raises:
        InputError: If there is none of its kind, or its answer or place is not known.
    """
    found = next((e for e in examples if e.label == step.example), None)
    if found is None or found.truth is None or not found.truth.boxes:
        raise InputError(
            f"Lesson {step.number} needs an example called '{step.example}' whose answer is known, "
            "and this page has none."
        )
    return found


def question_of(example: PageExample) -> Question:
    """An example as it is asked."""
    truth = example.known
    context = unrelated_text(SHOWN_TEXT_SEED, example.text)
    return Question(example.image, example.question, context, truth.boxes, answer=truth.answer)


def ask(room: Classroom, example: PageExample, names: Sequence[str]) -> dict[str, Trace]:
    """Asks an example by several methods."""
    return room.session.ask(
        question_of(example), methods=names, max_new_tokens=LONGEST, cancel=room.cancel
    )


def mean_map(trace: Trace) -> np.ndarray:
    """Where the answer looked, mean over layers and heads, (N,)."""
    return trace.rows[0].mean((0, 1))


def answer_line(trace: Trace, truth: str) -> str:
    """An answer with its verdict and probability, as HTML."""
    verdict = "right" if is_correct(trace.answer, truth) else "wrong"
    (tone,) = colour_classes([trace.method]).values()
    return (
        f'<p class="vl-answer {tone}">{escape(trace.answer)} '
        f'<small class="vl-is-{verdict}">{verdict}, P {float(np.exp(trace.logprobs[0])):.2f}'
        "</small></p>"
    )


def side_by_side(left: str, right: str = "") -> str:
    """Two columns, as HTML."""
    second = f"<section>{right}</section>" if right else ""
    return f'<div class="vl-pair"><section>{left}</section>{second}</div>'
