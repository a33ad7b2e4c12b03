"""Questions that two places answer: "What colour is the star?" where there are two stars.

The question alone cannot say which one is meant; the answer settles it. So a prior over places has
to name both, and a posterior that has read the answer only one. A family of its own, apart from
`ask_scene`, so that the benchmark's questions stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vif.scenes.draw import Scene
from vif.scenes.questions import SceneQuestion
from vif.scenes.wording import put_in_words
from vif.scenes.world import COLOURS, SHAPES, SceneObject

FAMILY, GROUP = "ambiguous", "fine-grained"
Pair = tuple[SceneQuestion, SceneQuestion]


def ask_ambiguous(scene: Scene, seed: int, num_questions: int = 1) -> list[Pair]:
    """Draws questions with two right answers.

    Args:
        scene: The scene.
        seed: Seed of the draw; the same arguments give the same questions.
        num_questions: At most so many.

    Returns:
        Pairs of the same words with one answer and its box each, in random order. Both objects are
        alike in what the question says and differ in what it asks; neither is tiny.
    """
    rng = np.random.default_rng([seed, scene.seed, 23])
    drafts = list(_drafts(scene))
    rng.shuffle(drafts)
    made = []
    for asked, phrase, items in drafts[:num_questions]:
        text = put_in_words(asked, {"it": phrase}, rng)
        first, second = (
            SceneQuestion(text, getattr(item, asked), FAMILY, GROUP, (scene.box(item),))
            for item in items
        )
        made.append((second, first) if rng.random() < 0.5 else (first, second))
    return made


def _drafts(scene: Scene) -> Iterator[tuple[str, str, tuple[SceneObject, SceneObject]]]:
    """What is asked, of what, and the two objects that it may be."""
    for named, values, asked in (("shape", SHAPES, "colour"), ("colour", COLOURS, "shape")):
        for value in values:
            found = [o for o in scene.objects if getattr(o, named) == value]
            if len(found) != 2 or any(o.size == "tiny" for o in found):
                continue
            if getattr(found[0], asked) != getattr(found[1], asked):
                phrase = f"the {value}" if named == "shape" else f"the {value} {{thing}}"
                yield asked, phrase, (found[0], found[1])
