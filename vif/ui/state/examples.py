"""The examples that ship with the page. Knows nothing about Gradio or models."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vif import bundle
from vif.draw import render
from vif.errors import InputError
from vif.inputs.images import open_image
from vif.ui.html.markup import chip, text
from vif.ui.state.result import Result, Truth, View
from vif.ui.state.saved import from_bundle

THUMB_SIDE = 120
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Example:
    """A picture with a question and one sentence on what to look for.

    Attributes:
        image: The picture.
        question: What to ask.
        note: What to look for.
        text: Tokens of unrelated text to put before the question.
        truth: The right answer, where it is known.
        label: What happened, in a few words.
        recorded: Answers that were recorded with the bundled model, and how to show them; None
            where there are none.
    """

    image: Image.Image
    question: str
    note: str
    text: int = 0
    truth: Truth | None = None
    label: str = ""
    recorded: tuple[Result, View] | None = None

    @property
    def truths(self) -> list[Truth]:
        """The known answers: one or none."""
        return [] if self.truth is None else [self.truth]


def read_examples(folder: Path) -> list[Example]:
    """Returns the examples listed in ``examples.json``; none if there is no such file.

    An entry whose picture is missing or damaged is left out, so that one bad file does not keep
    the page from opening.

    Args:
        folder: Folder with ``examples.json``; pictures are relative to it.
    """
    listing = folder / "examples.json"
    if not listing.is_file():
        return []
    found = []
    for entry in json.loads(listing.read_text(encoding="utf-8")):
        try:
            image = open_image(folder / entry["image"])
        except InputError as error:
            _log.warning("Example left out: %s", error)
            continue
        question, truth = entry["question"], None
        if "truth" in entry:
            boxes = tuple(tuple(box) for box in entry.get("boxes", ()))
            truth = Truth(question, entry["truth"], boxes)
        told = (entry.get("note", ""), entry.get("text", 0), truth, entry.get("label", ""))
        found.append(Example(image, question, *told, _recorded(folder, entry)))
    return found


def _recorded(folder: Path, entry: dict[str, Any]) -> tuple[Result, View] | None:
    """The recorded answers of an example; without them it is asked like any other question."""
    if "recorded" not in entry:
        return None
    try:
        return from_bundle(bundle.read(folder / entry["recorded"]))
    except InputError as error:
        _log.warning("Recorded answers left out: %s", error)
        return None


def example_strip(examples: list[Example]) -> str:
    """The examples as buttons with a small picture each."""
    buttons = "".join(
        chip(
            index,
            f'<img src="{render.data_url(render.fit(example.image, THUMB_SIDE))}" alt="">',
            class_="vl-chip vl-example",
            aria_pressed=None,
            aria_label=f"Example: {example.question}",
            title=" ".join((example.question, example.note)).strip(),
        )
        for index, example in enumerate(examples)
    )
    return f'<div class="vl-examples" role="group" aria-label="Examples">{buttons}</div>'


def suggestion_strip(questions: list[str]) -> str:
    """Questions as buttons that fill the question box."""
    buttons = "".join(
        chip(index, text(question), class_="vl-chip vl-suggestion", aria_pressed=None)
        for index, question in enumerate(questions)
    )
    return f'<div class="vl-suggestions" role="group" aria-label="Suggestions">{buttons}</div>'


def plan_strip(
    num_layers: int,
    learning: tuple[float | None, float | None],
    injection: tuple[float | None, float | None],
    stride: float | None,
) -> str:
    """The decoder as a row of cells: which layers are read and which are steered."""
    reads, writes = (_layers(num_layers, b, stride) for b in (learning, injection))
    cells = []
    for layer in range(num_layers):
        roles = [name for name, hit in (("learning", reads), ("injection", writes)) if layer in hit]
        classes = "".join(f" vl-is-{role}" for role in roles)
        cells.append(f'<i class="vl-cell{classes}">{layer}</i>')
    return (
        f'<div class="vl-plan" role="img" aria-label="Learning layers {sorted(reads)}, injection '
        f'layers {sorted(writes)} of {num_layers}"><div class="vl-cells">{"".join(cells)}</div>'
        '<p class="vl-small">VIF reads where to look in the blue layers and steers the orange '
        "ones there.</p></div>"
    )


def _layers(
    num_layers: int, bounds: tuple[float | None, float | None], stride: float | None
) -> set[int]:
    """The model's layers in a range; none while a field is empty or out of order."""
    low, high = bounds
    if low is None or high is None or not stride or stride < 1:
        return set()
    # Whatever is being typed, no more than the model's layers are looked at.
    return {i for i in range(num_layers) if low <= i <= high and (i - low) % stride == 0}
