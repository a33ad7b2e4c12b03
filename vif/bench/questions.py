"""Questions of the benchmark: scenes drawn on the spot, the same for the same arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from vif.inputs.boxes import Box
from vif.question import Question
from vif.scenes import GROUP_OF, GROUPS, Scene, SceneQuestion, ask_scene, draw_scene
from vif.scenes.text import unrelated_text

QUESTIONS_PER_SCENE = 5
ALL, HARD = "all", "fine-grained + grounding"


@dataclass(frozen=True)
class BenchItem:
    """One question of the benchmark.

    Attributes:
        scene: Its scene.
        question: The question.
        context: Unrelated text before it.
        boxes: True boxes in [0, 1] image coordinates.
    """

    scene: Scene
    question: SceneQuestion
    context: str
    boxes: tuple[Box, ...]

    @property
    def as_question(self) -> Question:
        """What a session is asked."""
        scene, question = self.scene, self.question
        return Question(
            scene.image, question.text, self.context, self.boxes, answer=question.answer
        )


def items(
    split: str, num_questions: int, seed: int, text: int, families: Sequence[str] = ()
) -> list[BenchItem]:
    """Questions of the benchmark, five per scene; the same arguments give the same questions.

    Args:
        split: One of `SPLITS`.
        num_questions: How many.
        seed: Every seed has scenes of its own.
        text: Tokens of unrelated text before every question.
        families: Only these; all if there are none. Scenes that allow none of them are passed over.
    """
    return list(islice(endless_items(split, seed, text, families), num_questions))


def endless_items(
    split: str, seed: int, text: int = 0, families: Sequence[str] = ()
) -> Iterator[BenchItem]:
    """The questions of `items`, without an end."""
    weights = {family: 0.0 for family in GROUP_OF if families and family not in families}
    count, number = 0, seed * 1_000_000
    while True:
        scene = draw_scene(number, split)
        for question in ask_scene(scene, number, QUESTIONS_PER_SCENE, weights):
            text_before = unrelated_text(count, text)
            yield BenchItem(scene, question, text_before, question.boxes_on(scene))
            count += 1
        number += 1


def group_masks(questions: Sequence[BenchItem]) -> dict[str, np.ndarray]:
    """Which questions belong to which group, (n,) bool by name; groups without any are left out."""
    group = np.array([item.question.group for item in questions])
    chosen = {ALL: np.ones(len(group), bool)} | {name: group == name for name in GROUPS}
    chosen[HARD] = np.isin(group, GROUPS[1:])
    return {name: mask for name, mask in chosen.items() if mask.any()}
