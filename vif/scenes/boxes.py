"""Scenes whose answer is a box: one object is described, its box is asked for.

A family of its own, apart from `ask_scene`, so that the benchmark's questions stay what they are.
"""

from __future__ import annotations

import numpy as np

from vif.scenes.draw import Scene
from vif.scenes.questions import SceneQuestion
from vif.scenes.relations import descriptions

FAMILY, GROUP = "box", "grounding"


def ask_boxes(scene: Scene, seed: int, num_questions: int = 5) -> list[SceneQuestion]:
    """Draws referring expressions, one per object at most.

    Args:
        scene: The scene.
        seed: Seed of the draw; the same arguments give the same questions.
        num_questions: At most so many.

    Returns:
        Questions whose text is an expression such as "the small red star", and whose only box is
        the one that is asked for, in pixels; the answer writes it in parts of the image.
    """
    rng = np.random.default_rng([seed, scene.seed, 17])
    found = {id(item): (phrase, item) for phrase, item, _ in descriptions(scene)}
    drafts = list(found.values())
    rng.shuffle(drafts)
    size = scene.image.width
    made = []
    for phrase, item in drafts[:num_questions]:
        box = scene.box(item)
        answer = ", ".join(f"{side / size:.3f}" for side in box)
        text = phrase.format(thing="object")
        made.append(SceneQuestion(text, f"[{answer}]", FAMILY, GROUP, (box,)))
    return made
