"""Generated scenes as a data set: what is measured when nothing else is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PIL import Image

from vif.data.example import DataSet, Example
from vif.scenes import SceneQuestion, ask_scene, draw_scene
from vif.scenes.boxes import FAMILY as BOX
from vif.scenes.draw import Scene

QUESTIONS_PER_SCENE = 5
# From a scene, a seed and a number of questions to questions.
Ask = Callable[[Scene, int, int], list[SceneQuestion]]


def read_scenes(
    number: int, seed: int = 0, split: str = "test", ask: Ask = ask_scene, name: str = "scenes"
) -> DataSet:
    """The first questions of the benchmark; the same arguments give the same ones.

    Args:
        number: How many.
        seed: Every seed has scenes of its own, those of `vif bench`.
        split: One of `vif.scenes.SPLITS`.
        ask: What is asked about a scene.
        name: Of the data.
    """
    examples: list[Example] = []
    scene_number = seed * 1_000_000
    while len(examples) < number:
        scene = draw_scene(scene_number, split)
        for k, question in enumerate(ask(scene, scene_number, QUESTIONS_PER_SCENE)):
            examples.append(
                Example(
                    name=f"scene {scene_number} question {k}",
                    image=partial(_picture, scene),
                    question=question.text,
                    # A box is compared with the box, not with how it is written.
                    answers=() if question.family == BOX else (question.answer,),
                    boxes=question.boxes_on(scene),
                    group=question.family,
                    source=f"scene {scene_number}",
                )
            )
        scene_number += 1
    return DataSet(f"{name} ({split}, seed {seed})", "scenes", examples[:number])


def _picture(scene: Scene) -> Image.Image:
    return scene.image
