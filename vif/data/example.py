"""One question with what is known about its answer, and a list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from vif.errors import InputError
from vif.inputs.boxes import Box, check_boxes
from vif.inputs.images import ImageSource, open_image

LETTER = "Answer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Example:
    """One question of a data set.

    Attributes:
        name: Which, unique within the data set, for messages and results.
        image: What `open_image` takes, or a function that returns it, so that images of a large
            data set are opened one by one.
        question: What is asked.
        answers: Right answers, any of which counts; empty if none is known.
        boxes: Where the answer is, (x0, y0, x1, y1): in [0, 1] of the image if no side of any of
            them is over 1, else in pixels of the image file.
        choices: What may be answered, in the order of the letters A, B, ...
        context: Unrelated text before the question.
        group: What kind of question, for tables; empty if it has none.
        source: The image's name; questions with the same one share a cluster of intervals.
    """

    name: str
    image: ImageSource | Callable[[], ImageSource]
    question: str
    answers: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    choices: tuple[str, ...] = ()
    context: str = ""
    group: str = ""
    source: str = ""

    @property
    def prompt(self) -> str:
        """The question, with its choices and LLaVA-1.5's instruction if it does not name them."""
        if not self.choices or all(choice in self.question for choice in self.choices):
            return self.question
        lines = [f"{chr(ord('A') + i)}. {choice}" for i, choice in enumerate(self.choices)]
        return "\n".join([self.question, *lines, LETTER])

    def open(self) -> tuple[Image.Image, tuple[Box, ...]]:
        """The image, upright RGB, and the boxes in [0, 1] of it.

        Raises:
            InputError: If the image cannot be opened or a box does not lie on it.
        """
        image = open_image(self.image() if callable(self.image) else self.image)
        boxes = self.boxes
        if any(side > 1 for box in boxes for side in box):
            width, height = self._stored_size(image)
            boxes = tuple((a / width, b / height, c / width, d / height) for a, b, c, d in boxes)
            _check_pixels(self.boxes, (width, height))
        check_boxes(boxes)
        return image, boxes

    def _stored_size(self, image: Image.Image) -> tuple[int, int]:
        """Width and height that pixel boxes are given in: before a very large image is shrunk."""
        if not isinstance(self.image, str | Path):
            return image.size
        with Image.open(self.image) as stored:
            size = stored.size
        upright = (size[0] > size[1]) == (image.width > image.height)
        return size if upright else (size[1], size[0])


def _check_pixels(boxes: tuple[Box, ...], size: tuple[int, int]) -> None:
    for x0, y0, x1, y1 in boxes:
        if not (0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]):
            raise InputError(
                f"A box is ({x0:g}, {y0:g}, {x1:g}, {y1:g}), which is not on the image of "
                f"{size[0]} x {size[1]} pixels: expected x0, y0, x1, y1 in pixels, or in "
                "fractions of the image from 0 to 1."
            )


@dataclass(frozen=True)
class SkippedEntry:
    """An entry that could not be used.

    Attributes:
        where: Which, e.g. ``"line 12"`` or a file's name.
        why: One sentence.
    """

    where: str
    why: str


@dataclass(frozen=True)
class DataSet:
    """Questions read from files, and the entries that could not be used.

    Attributes:
        name: Where it is from, as given.
        kind: One of ``"scenes"``, ``"folder"``, ``"llava"``, ``"jsonl"``, ``"hub"``, ``"refcoco"``.
        examples: The questions, in the order of the source.
        skipped: Entries that are left out.
    """

    name: str
    kind: str
    examples: list[Example]
    skipped: list[SkippedEntry] = field(default_factory=list)
