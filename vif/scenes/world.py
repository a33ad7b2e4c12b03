"""Contents of a scene: shapes, colours, characters, sizes, splits. Does not know pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IMAGE_SIZE = 192
SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "moon")
COLOURS = {
    "red": (214, 39, 40),
    "orange": (247, 138, 22),
    "yellow": (250, 214, 32),
    "green": (44, 150, 62),
    "blue": (36, 99, 222),
    "purple": (128, 58, 190),
    "pink": (250, 126, 186),
    "black": (38, 38, 44),
}
GLYPHS = tuple("23456789EHKNRX")
# Shapes with enough solid area around their centre to carry a readable character.
GLYPH_SHAPES = ("circle", "square", "triangle", "star", "heart")
MIN_OBJECTS, MAX_OBJECTS = 4, 14
# Diameter as a fraction of the image width: (low, high, share of objects).
SIZES = {"tiny": (0.021, 0.036, 0.22), "small": (0.065, 0.095, 0.38), "medium": (0.12, 0.17, 0.40)}
GAP = 0.022  # least free space between two objects, in image widths
SPLITS = ("train", "validation", "test")
# Eight colour x shape combinations each (one per shape and per colour) are kept out of training.
HELD_OUT_DIAGONAL = {"validation": 3, "test": 6}
ODD_SCENE_SHARE = 0.12
# Characters sit near the centre of a 16 px cell: a tower with 16 px patches that is trained in
# minutes cannot read them across a border.
GLYPH_GRID, GLYPH_JITTER = 12, 0.01


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        shape: One of `SHAPES`.
        colour: One of `COLOURS`.
        x: Centre, in image widths from the left, in [0, 1].
        y: Centre, in image heights from the top, in [0, 1].
        diameter: In image widths.
        angle: Rotation in degrees.
        size: One of `SIZES`.
        glyph: Character drawn on it, or None.
    """

    shape: str
    colour: str
    x: float
    y: float
    diameter: float
    angle: float
    size: str
    glyph: str | None = None


def combination_split(colour: str, shape: str) -> str:
    """The split that a colour x shape combination is reserved for, ``"train"`` if for none."""
    diagonal = (SHAPES.index(shape) - tuple(COLOURS).index(colour)) % len(SHAPES)
    for split, held_out in HELD_OUT_DIAGONAL.items():
        if diagonal == held_out:
            return split
    return "train"


def allowed_combinations(split: str) -> list[tuple[str, str]]:
    """All (colour, shape) pairs that scenes of a split may show: training's and its own."""
    return [
        (colour, shape)
        for colour in COLOURS
        for shape in SHAPES
        if combination_split(colour, shape) in ("train", split)
    ]


def place_objects(
    rng: np.random.Generator, split: str, num_objects: int | None = None
) -> tuple[SceneObject, ...]:
    """Draws the objects of one scene.

    Outside training at least one object shows a combination held out for that split.

    Args:
        rng: Source of all randomness.
        split: One of `SPLITS`.
        num_objects: How many, 1 to 14; random in 4 to 14 by default.
    """
    count = num_objects or int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
    pairs = _choose_pairs(rng, split, count)
    names, shares = list(SIZES), [share for _, _, share in SIZES.values()]
    objects: list[SceneObject] = []
    for colour, shape in pairs:
        size = names[rng.choice(len(names), p=shares)]
        low, high, _ = SIZES[size]
        diameter, glyph = float(rng.uniform(low, high)), None
        if size == "medium" and shape in GLYPH_SHAPES and rng.random() < 0.65:
            glyph = GLYPHS[rng.integers(len(GLYPHS))]
        place = _find_place(rng, objects, diameter, snap=glyph is not None)
        if place is not None:
            angle = float(rng.uniform(-14, 14))
            objects.append(SceneObject(shape, colour, *place, diameter, angle, size, glyph))
    return tuple(objects)


def _choose_pairs(rng: np.random.Generator, split: str, count: int) -> list[tuple[str, str]]:
    allowed = allowed_combinations(split)
    held_out = [pair for pair in allowed if combination_split(*pair) == split != "train"]
    if count >= MIN_OBJECTS and rng.random() < ODD_SCENE_SHARE:
        # All objects share a shape (or a colour) but one: material for "odd one out".
        axis = int(rng.integers(2))
        common = (tuple(COLOURS), SHAPES)[axis][rng.integers(8)]
        same = [pair for pair in allowed if pair[axis] == common]
        other = [pair for pair in (held_out or allowed) if pair[axis] != common]
        pairs = [same[rng.integers(len(same))] for _ in range(count - 1)]
        return [other[rng.integers(len(other))], *pairs]
    pairs = [allowed[rng.integers(len(allowed))] for _ in range(count)]
    if held_out:
        pairs[0] = held_out[rng.integers(len(held_out))]
    return pairs


def _find_place(
    rng: np.random.Generator, objects: list[SceneObject], diameter: float, snap: bool
) -> tuple[float, float] | None:
    margin = diameter / 2 + 0.012
    for _ in range(60):
        x, y = rng.uniform(margin, 1 - margin, 2)
        if snap:
            jitter = rng.uniform(-GLYPH_JITTER, GLYPH_JITTER, 2)
            x, y = (np.floor(np.array([x, y]) * GLYPH_GRID) + 0.5) / GLYPH_GRID + jitter
            if not margin <= min(x, y) <= max(x, y) <= 1 - margin:
                continue
        if all(np.hypot(x - o.x, y - o.y) > (diameter + o.diameter) / 2 + GAP for o in objects):
            return float(x), float(y)
    return None
