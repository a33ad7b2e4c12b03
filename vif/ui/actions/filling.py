"""Filling in the form: scenes, examples, suggestions. Handlers without a model."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import gradio as gr

from vif.ui.actions import handlers
from vif.ui.actions.redraw import notice, picked
from vif.ui.state.examples import Example, suggestion_strip
from vif.ui.state.form import Truth

MAX_SCENE_SEED = 1_000_000


def draw_scene() -> tuple[Any, ...]:
    """A new scene with its first question; the old answers stay until the next run."""
    filled = handlers.scene(secrets.randbelow(MAX_SCENE_SEED))
    questions = handlers.questions_of(filled.truths)
    return filled.image, questions[0], filled.truths, suggestion_strip(questions), ""


def take_example(event: gr.EventData, examples: Sequence[Example]) -> tuple[Any, ...]:
    """The clicked example's picture, question and text before it."""
    index = picked(event, len(examples))
    if index is None:
        return (gr.skip(),) * 7
    example = examples[index]
    strip = suggestion_strip(handlers.questions_of(example.truths))
    return (
        example.image,
        example.question,
        example.truths,
        strip,
        notice(example.note),
        example.text,
        handlers.unrelated(example.text),
    )


def take_suggestion(event: gr.EventData, truths: list[Truth]) -> Any:
    """The clicked suggestion as the question."""
    questions = handlers.questions_of(truths or [])
    index = picked(event, len(questions))
    return gr.skip() if index is None else questions[index]


def other_picture() -> tuple[list[Truth], str]:
    """A scene's questions do not fit another picture: none is known, general ones are offered."""
    return [], suggestion_strip(handlers.questions_of([]))
