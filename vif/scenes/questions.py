"""Questions about a scene with exactly one right answer, and the boxes of what they ask about.

Every family is a generator over a scene: it yields all questions of its kind that are answerable
and unambiguous there. `ask_scene` draws from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vif.inputs.boxes import Box, as_box
from vif.scenes.draw import Scene
from vif.scenes.relations import descriptions, find_unique, neighbour
from vif.scenes.wording import put_in_words
from vif.scenes.world import COLOURS, SHAPES, SceneObject, allowed_combinations

GRID = 4  # "where" is answered by a cell of a 4 x 4 grid, a1 top left, d4 bottom right
CELL_MARGIN = 0.02  # an object this close to a cell border is not asked about
MAX_COUNT = 9


@dataclass(frozen=True)
class SceneQuestion:
    """A question with its answer and the truth about where to look.

    Attributes:
        text: The question as a person would type it.
        answer: The one right answer, lower case.
        family: What kind of question, a key of `GROUP_OF`.
        group: ``"general"``, ``"fine-grained"`` or ``"grounding"``.
        boxes: Boxes (x0, y0, x1, y1) in pixels of the objects that hold the answer; empty where
            the answer is that something is absent.
    """

    text: str
    answer: str
    family: str
    group: str
    boxes: tuple[Box, ...]

    def boxes_on(self, scene: Scene) -> tuple[Box, ...]:
        """`boxes` in [0, 1] image coordinates of their scene."""
        size = scene.image.width
        return tuple(as_box(side / size for side in box) for box in self.boxes)


@dataclass(frozen=True)
class _Draft:
    """A question before its wording: the blanks of a template, the answer and its objects."""

    kind: str
    blanks: dict[str, str]
    answer: str
    targets: tuple[SceneObject, ...]


def ask_scene(
    scene: Scene,
    seed: int,
    num_questions: int | None = None,
    weights: dict[str, float] | None = None,
) -> list[SceneQuestion]:
    """Draws questions about a scene; it draws the family first, to include rare ones.

    Args:
        scene: The scene.
        seed: Seed of the draw; the same arguments give the same questions.
        num_questions: How many, without repetition; one of each available family by default.
        weights: Relative frequency of families (default 1 each, 0 leaves a family out).

    Returns:
        At most `num_questions` questions.
    """
    rng = np.random.default_rng([seed, scene.seed, 7])
    weights = weights or {}
    pools: dict[str, list[_Draft]] = {}
    for family, drafts in _FAMILIES.items():
        if weights.get(family, 1.0) > 0 and (found := list(drafts(scene))):
            rng.shuffle(found)
            pools[family] = found
    if num_questions is None:
        return [_ask(scene, family, pool[0], rng) for family, pool in pools.items()]
    chosen = []
    while pools and len(chosen) < num_questions:
        names = list(pools)
        shares = np.array([weights.get(name, 1.0) for name in names])
        family = names[rng.choice(len(names), p=shares / shares.sum())]
        chosen.append(_ask(scene, family, pools[family].pop(), rng))
        if not pools[family]:
            del pools[family]
    return chosen


def _ask(scene: Scene, family: str, draft: _Draft, rng: np.random.Generator) -> SceneQuestion:
    """Puts a draft into words."""
    boxes = tuple(scene.box(target) for target in draft.targets)
    text = put_in_words(draft.kind, draft.blanks, rng)
    return SceneQuestion(text, draft.answer, family, GROUP_OF[family], boxes)


def _colour(scene: Scene) -> Iterator[_Draft]:
    for phrase, item, given in descriptions(scene):
        if given == {"shape"} and item.size != "tiny":
            yield _Draft("colour", {"it": phrase}, item.colour, (item,))


def _shape(scene: Scene) -> Iterator[_Draft]:
    for phrase, item, given in descriptions(scene):
        if given == {"colour"} and item.size != "tiny":
            yield _Draft("shape", {"it": phrase}, item.shape, (item,))


def _existence(scene: Scene) -> Iterator[_Draft]:
    present = Counter((o.colour, o.shape) for o in scene.objects)
    yes, no = [], []
    for colour, shape in allowed_combinations(scene.split):
        if (colour, shape) in present:
            yes.append((colour, shape))
        # Absent pairs whose colour or shape is there are the ones that need a look.
        elif any(o.colour == colour or o.shape == shape for o in scene.objects):
            no.append((colour, shape))
    for pairs, answer in ((yes, "yes"), (no[:: max(1, len(no) // max(1, len(yes)))], "no")):
        for colour, shape in pairs:
            article = "an" if colour == "orange" else "a"
            targets = tuple(o for o in scene.objects if (o.colour, o.shape) == (colour, shape))
            yield _Draft("existence", {"it": f"{article} {colour} {shape}"}, answer, targets)


def _counting(scene: Scene) -> Iterator[_Draft]:
    for colour in COLOURS:
        targets = tuple(o for o in scene.objects if o.colour == colour)
        if targets and len(targets) <= MAX_COUNT:
            yield _Draft("counting", {"it": f"{colour} objects"}, str(len(targets)), targets)
    for shape in SHAPES:
        targets = tuple(o for o in scene.objects if o.shape == shape)
        plural = "crosses" if shape == "cross" else f"{shape}s"
        if targets and len(targets) <= MAX_COUNT:
            yield _Draft("counting", {"it": plural}, str(len(targets)), targets)


def _tiny(scene: Scene) -> Iterator[_Draft]:
    item = find_unique(scene, size="tiny")
    if item is not None:
        yield _Draft("colour", {"it": "the tiny {thing}"}, item.colour, (item,))
    for shape in SHAPES:
        item = find_unique(scene, size="tiny", shape=shape)
        if item is not None:
            yield _Draft("colour", {"it": f"the tiny {shape}"}, item.colour, (item,))


def _glyph(scene: Scene) -> Iterator[_Draft]:
    for phrase, item, _ in descriptions(scene):
        if item.glyph is not None:
            yield _Draft("glyph", {"it": phrase}, item.glyph.lower(), (item,))


def _neighbours(relation: str) -> Callable[[Scene], Iterator[_Draft]]:
    def family(scene: Scene) -> Iterator[_Draft]:
        for phrase, item, _ in descriptions(scene):
            target = neighbour(scene, item, relation)
            if target is None:
                continue
            blanks = {"relation": relation, "it": phrase}
            yield _Draft("colour", blanks, target.colour, (target,))
            if target.size != "tiny":
                yield _Draft("shape", blanks, target.shape, (target,))

    return family


def _odd(scene: Scene) -> Iterator[_Draft]:
    for attribute, asked in (("shape", "colour"), ("colour", "shape")):
        counts = Counter(getattr(o, attribute) for o in scene.objects)
        if len(counts) == 2 and min(counts.values()) == 1 and len(scene.objects) > 3:
            rare = min(counts, key=lambda value: counts[value])
            item = next(o for o in scene.objects if getattr(o, attribute) == rare)
            yield _Draft(f"odd-{asked}", {}, getattr(item, asked), (item,))


def _cell_name(item: SceneObject) -> str | None:
    """Name of the object's grid cell, None if its centre is too close to a border."""
    inner = [abs(v * GRID - round(v * GRID)) / GRID for v in (item.x, item.y)]
    if min(inner) < CELL_MARGIN:
        return None
    return f"{'abcd'[int(item.x * GRID)]}{int(item.y * GRID) + 1}"


def _cell(scene: Scene) -> Iterator[_Draft]:
    for phrase, item, _ in descriptions(scene):
        if (name := _cell_name(item)) is not None:
            yield _Draft("cell", {"it": phrase}, name, (item,))


def _corner(scene: Scene) -> Iterator[_Draft]:
    for phrase, item, _ in descriptions(scene):
        if min(abs(item.x - 0.5), abs(item.y - 0.5)) > 2 * CELL_MARGIN:
            answer = f"{'top' if item.y < 0.5 else 'bottom'} {'left' if item.x < 0.5 else 'right'}"
            yield _Draft("corner", {"it": phrase}, answer, (item,))


def _neighbour_cell(scene: Scene) -> Iterator[_Draft]:
    for phrase, item, _ in descriptions(scene):
        target = neighbour(scene, item, "nearest")
        if target is not None and (name := _cell_name(target)) is not None:
            yield _Draft("cell", {"relation": "nearest", "it": phrase}, name, (target,))


_FAMILIES: dict[str, Callable[[Scene], Iterator[_Draft]]] = {
    "colour": _colour,
    "shape": _shape,
    "existence": _existence,
    "counting": _counting,
    "tiny": _tiny,
    "glyph": _glyph,
    "nearest": _neighbours("nearest"),
    "left": _neighbours("left"),
    "right": _neighbours("right"),
    "above": _neighbours("above"),
    "below": _neighbours("below"),
    "odd": _odd,
    "cell": _cell,
    "corner": _corner,
    "neighbour-cell": _neighbour_cell,
}
# What is asked about is not named, but found from something that is.
RELATIONAL = ("nearest", "left", "right", "above", "below")
GROUPS = ("general", "fine-grained", "grounding")
GROUP_OF = {
    "colour": "general",
    "shape": "general",
    "existence": "general",
    "counting": "general",
    "tiny": "fine-grained",
    "glyph": "fine-grained",
    "nearest": "fine-grained",
    "left": "fine-grained",
    "right": "fine-grained",
    "above": "fine-grained",
    "below": "fine-grained",
    "odd": "fine-grained",
    "cell": "grounding",
    "corner": "grounding",
    "neighbour-cell": "grounding",
}


def is_correct(answer: str, truth: str) -> bool:
    """Whether a free-form answer is right: equal up to case, spaces and a final full stop."""
    return " ".join(answer.lower().split()).rstrip(". ") == truth
