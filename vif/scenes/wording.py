"""How questions are worded. Does not know scenes or answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_THING = ("object", "thing", "item")
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "colour": (
        "What colour is {it}?",
        "Which colour does {it} have?",
        "{it}: what is its colour?",
        "Tell me the colour of {it}.",
        "Name the colour of {it}.",
    ),
    "shape": (
        "What shape is {it}?",
        "Which shape does {it} have?",
        "What is the shape of {it}?",
        "Name the shape of {it}.",
    ),
    "existence": (
        "Is there {it} in the picture?",
        "Do you see {it}?",
        "Does the picture show {it}?",
        "Is there {it}?",
    ),
    "counting": (
        "How many {it} are there?",
        "Count the {it}.",
        "How many {it} do you see?",
        "What is the number of {it}?",
    ),
    "glyph": (
        "Which character is on {it}?",
        "What is written on {it}?",
        "Read the character on {it}.",
        "Which letter or digit is on {it}?",
    ),
    "cell": (
        "Where is {it}?",
        "In which cell is {it}?",
        "Which grid cell holds {it}?",
        "Find {it}.",
        "Locate {it}.",
    ),
    "corner": (
        "In which corner of the picture is {it}?",
        "Which quarter of the picture holds {it}?",
        "Is {it} at the top left, top right, bottom left or bottom right?",
    ),
    "odd-colour": (
        "One {thing} has another shape than all others: what colour is it?",
        "What colour is the odd one out?",
        "Which colour does the {thing} with the odd shape have?",
    ),
    "odd-shape": (
        "One {thing} has another colour than all others: what shape is it?",
        "What shape is the odd one out?",
        "Which shape does the {thing} with the odd colour have?",
    ),
}
_RELATIONS: dict[str, tuple[str, ...]] = {
    "nearest": (
        "the {thing} nearest to {it}",
        "the {thing} closest to {it}",
        "the nearest neighbour of {it}",
    ),
    "left": ("the {thing} just left of {it}", "the next {thing} to the left of {it}"),
    "right": ("the {thing} just right of {it}", "the next {thing} to the right of {it}"),
    "above": ("the {thing} just above {it}", "the next {thing} above {it}"),
    "below": ("the {thing} just below {it}", "the next {thing} below {it}"),
}  # fmt: skip


def put_in_words(kind: str, blanks: dict[str, str], rng: np.random.Generator) -> str:
    """Puts a question into words.

    Args:
        kind: A key of the templates.
        blanks: What goes into the template; ``"relation"`` turns ``"it"`` into its neighbour.
        rng: Chooses among the wordings.
    """
    options, blanks = _TEMPLATES[kind], dict(blanks)
    thing = _THING[rng.integers(len(_THING))]
    if (relation := blanks.pop("relation", None)) is not None:
        phrases = _RELATIONS[relation]
        phrase = phrases[rng.integers(len(phrases))]
        blanks["it"] = phrase.format(thing="{thing}", it=blanks["it"])
    text = options[rng.integers(len(options))].format(**{"thing": thing} | blanks)
    text = text.replace("{thing}", thing)
    if rng.random() < 0.25:
        text = text.replace("colour", "color")
    return text[0].upper() + text[1:]


def all_templates() -> Iterator[str]:
    """Every wording, for building a vocabulary."""
    for group in (_TEMPLATES, _RELATIONS):
        for templates in group.values():
            yield from templates
    yield from _THING
