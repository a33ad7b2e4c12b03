"""The examples that ship with the page. Independent of Gradio and models."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from vif import bundle
from vif.errors import InputError
from vif.inputs.images import open_image
from vif.scenes import is_correct
from vif.ui.state.form import HasTruth, Truth
from vif.ui.state.result import Result
from vif.ui.state.saved import from_bundle
from vif.ui.state.view import View

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PageExample(HasTruth):
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
    label: str = "Example"
    recorded: tuple[Result, View] | None = None

    @property
    def truths(self) -> list[Truth]:
        """The known answers: one or none."""
        return [] if self.truth is None else [self.truth]


def read_examples(folder: Path) -> list[PageExample]:
    """Returns the examples listed in ``examples.json``; none if there is no such file.

    An entry whose picture is missing or damaged is left out, so that one bad file does not keep
    the page from opening.

    Args:
        folder: Folder with ``examples.json``; pictures are relative to it.

    Raises:
        InputError: If the list itself is damaged.
    """
    listing = folder / "examples.json"
    if not listing.is_file():
        return []
    try:
        return [e for e in map(partial(_read, folder), _entries(listing)) if e is not None]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{listing} is damaged, expected a list of examples, each with an image and a "
            "question: repair it or remove it."
        ) from error


def _entries(listing: Path) -> list[dict[str, Any]]:
    return list(json.loads(listing.read_text(encoding="utf-8")))


def _read(folder: Path, entry: dict[str, Any]) -> PageExample | None:
    """One example; None without its picture."""
    try:
        image = open_image(folder / entry["image"])
    except InputError as error:
        _log.warning("Example skipped: %s", error)
        return None
    question, truth = entry["question"], None
    if "truth" in entry:
        boxes = tuple(tuple(box) for box in entry.get("boxes", ()))
        truth = Truth(question, entry["truth"], boxes)
    told = (entry.get("note", ""), entry.get("text", 0), truth, entry.get("label") or _label(entry))
    return PageExample(image, question, *told, _recorded(folder, entry))


def _label(entry: dict[str, Any]) -> str:
    """What an example shows, from the answers that were recorded with it."""
    if not {"truth", "plain", "vif"} <= entry.keys():
        return "Example"
    is_plain_right = is_correct(entry["plain"], entry["truth"])
    is_vif_right = is_correct(entry["vif"], entry["truth"])
    if is_vif_right and not is_plain_right:
        return "Lost in text" if entry.get("text") else "Fixed by VIF"
    if is_plain_right and not is_vif_right:
        return "Broken by VIF"
    return "Not needed" if is_vif_right else "Still wrong"


def _recorded(folder: Path, entry: dict[str, Any]) -> tuple[Result, View] | None:
    """The recorded answers of an example; without them it is asked like any other question."""
    if "recorded" not in entry:
        return None
    try:
        result, view = from_bundle(bundle.read(folder / entry["recorded"]))
    except InputError as error:
        _log.warning("Recorded answers skipped: %s", error)
        return None
    model = Path(result.first.meta.get("model", "another model")).name
    told = {"remark": entry.get("note", ""), "text_tokens": entry.get("text", 0)}
    return replace(result, source=f"recorded with {model}", **told), view
