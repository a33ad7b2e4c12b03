"""Contents of the form: scenes, examples, suggestions. Runs no model."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np
from PIL import Image

from vif.bench import search
from vif.inputs.images import ImageSource
from vif.scenes import RELATIONAL, ask_scene, draw_scene, unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.ui.state.form import Truth, fingerprint

MAX_SCENE_SEED = 1_000_000
SUGGESTIONS = 4
GENERAL_QUESTIONS = (
    "What colour is the star?",
    "How many circles do you see?",
    "Where is the moon?",
)


@dataclass(frozen=True)
class SceneFill:
    """A drawn scene with questions whose answers are known."""

    image: Image.Image
    truths: list[Truth]


def scene(seed: int, asked: str = "") -> SceneFill:
    """Draws a scene of the test split with a few questions, half of them relational.

    Relational questions are where VIF changes most answers. If a scene has too few of one kind,
    questions of the other kind take their places.

    Args:
        seed: Of the scene.
        asked: A question that has to be among them, if the scene has it; a search for a changed
            answer words its questions in its own way.
    """
    drawn = draw_scene(seed)
    relational, others = [], []
    questions = ask_scene(drawn, seed)
    for index in np.random.default_rng(seed).permutation(len(questions)):
        question = questions[index]
        kind = relational if question.family in RELATIONAL else others
        kind.append(Truth(question.text, question.answer, question.boxes_on(drawn), seed))
    count = max(SUGGESTIONS // 2, SUGGESTIONS - len(others))
    truths = relational[:count]
    truths += others[: SUGGESTIONS - len(truths)]
    others += _searched(seed) if asked else []
    known = [t for t in (*relational, *others) if t.question == asked and t not in truths][:1]
    return SceneFill(drawn.image, [*known, *truths][:SUGGESTIONS])


def _searched(seed: int) -> list[Truth]:
    """What a search for a changed answer asks about a scene."""
    items = takewhile(lambda item: item.scene.seed == seed, search.relational(seed))
    return [Truth(one.question.text, one.question.answer, one.boxes, seed) for one in items]


def truths_about(image: ImageSource, truths: Sequence[Truth]) -> list[Truth]:
    """Returns known answers that hold for one picture only."""
    own = fingerprint(image) if truths else ""
    return [replace(truth, picture=own) for truth in truths]


def new_scene() -> SceneFill:
    """Draws a new random scene."""
    return scene(secrets.randbelow(MAX_SCENE_SEED))


def questions_of(truths: list[Truth]) -> list[str]:
    """Returns what to suggest: questions about the scene, or general ones."""
    return [truth.question for truth in truths] or list(GENERAL_QUESTIONS)


def unrelated_text_of(num_tokens: float) -> str:
    """Returns unrelated text of the asked length."""
    return unrelated_text(SHOWN_TEXT_SEED, int(num_tokens))
