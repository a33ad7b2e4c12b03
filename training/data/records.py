"""LLaVA-format data, streamed from disk: all records of an image together.

A data file is a JSON list or JSON lines of ``{id, image, conversations}``. Only where each record
lies in the file is kept in memory. Records that cannot be used are skipped, counted and
listed with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.data.scan import scan
from vif.errors import InputError

IMAGE_MARK = "<image>"
ASKING, ANSWERING = ("human", "user"), ("gpt", "assistant")


class BadRecord(Exception):
    """A record that cannot be trained on; the message says why."""


@dataclass(frozen=True)
class Turn:
    """A question with its answer.

    Attributes:
        text: The question, unrelated text before it included.
        question: The question alone.
        answer: Its answer.
        context: The unrelated text.
        boxes: True boxes (x0, y0, x1, y1) in pixels; None where nothing is known.
        family: Kind of question, "" if unknown.
        group: Group of the family, "" if unknown.
    """

    text: str
    question: str
    answer: str
    context: str = ""
    boxes: list[list[float]] | None = None
    family: str = ""
    group: str = ""


@dataclass(frozen=True)
class Record:
    """A conversation about an image, or without one."""

    name: str
    image: str | None
    turns: list[Turn]


def parse_record(raw: Any) -> Record:
    """Checks one record of a data file and reads it.

    Raises:
        BadRecord: If it has no turns, they do not alternate, a question or answer is empty, or
            what is said about questions has another form.
    """
    if not isinstance(raw, dict):
        raise BadRecord(f"it is a {type(raw).__name__}, expected an object")
    image = raw.get("image")
    if isinstance(image, list):
        if len(image) > 1:
            raise BadRecord(f"it has {len(image)} images, expected one")
        image = image[0] if image else None
    turns = raw.get("conversations")
    if not isinstance(turns, list) or len(turns) < 2:
        raise BadRecord("conversations has no question with an answer")
    facts = raw.get("questions") or []
    if not isinstance(facts, list) or not all(isinstance(fact, dict) for fact in facts):
        raise BadRecord("questions is not a list of objects")
    found = []
    for k in range(0, len(turns) - len(turns) % 2, 2):
        fact = facts[k // 2] if k // 2 < len(facts) else {}
        found.append(_parse_turn(turns[k], turns[k + 1], fact))
    return Record(str(raw.get("id", "")), image, found)


def _parse_turn(asked: Any, answered: Any, fact: dict[str, Any]) -> Turn:
    try:
        roles, texts = (asked["from"], answered["from"]), (asked["value"], answered["value"])
    except (KeyError, TypeError) as error:
        raise BadRecord("a turn lacks 'from' or 'value'") from error
    if roles[0] not in ASKING or roles[1] not in ANSWERING:
        raise BadRecord(f"turns come from {roles[0]!r} and {roles[1]!r}, expected human and gpt")
    if not all(isinstance(text, str) for text in texts):
        raise BadRecord("the value of a turn is not a string")
    text, answer = texts[0].replace(IMAGE_MARK, "").strip(), texts[1].strip()
    if not text or not answer:
        raise BadRecord("a question or an answer is empty")
    if IMAGE_MARK in answer:
        raise BadRecord(f"an answer contains {IMAGE_MARK}, which stands for an image")
    context = str(fact.get("context", ""))
    if not text.startswith(context):
        context = ""
    question = text.removeprefix(context).strip()
    kind = (str(fact.get("family", "")), str(fact.get("group", "")))
    return Turn(text, question, answer, context, _parse_boxes(fact.get("boxes")), *kind)


def _parse_boxes(boxes: Any) -> list[list[float]] | None:
    if boxes is None:
        return None
    is_list = isinstance(boxes, list) and all(isinstance(b, list) and len(b) == 4 for b in boxes)
    if not is_list or not all(isinstance(side, int | float) for box in boxes for side in box):
        raise BadRecord("boxes is not a list of [x0, y0, x1, y1]")
    return boxes


@dataclass
class SkippedRecords:
    """Records that were left out: counted here, listed in a file with the reason.

    Attributes:
        path: The file; None for no file.
        quiet: Whether nothing is written for now: another process does.
        count: How many records this process left out.
        first: Why the first of them.
    """

    path: Path | None
    quiet: bool = False
    count: int = 0
    first: str = ""

    def add(self, name: str, reason: str) -> None:
        """Counts a record that is skipped and writes down why."""
        self.count += 1
        self.first = self.first or f"{name}: {reason}"
        if self.path is not None and not self.quiet:
            with self.path.open("a") as file:  # one line per write: processes do not mix theirs
                file.write(json.dumps({"record": name, "reason": reason}) + "\n")


class RecordIndex:
    """Where every record of a data file lies, grouped by image.

    Attributes:
        groups: Record numbers of every item, images first come first served.
        skipped: What was left out.
    """

    def __init__(
        self,
        path: str | Path,
        image_folder: str | Path,
        skipped: SkippedRecords,
        text_only: bool = False,
        together: int = 16,
    ) -> None:
        """Indexes the file in one pass.

        Args:
            path: LLaVA-format data.
            image_folder: Where its images lie.
            skipped: Told what is left out.
            text_only: Whether records without an image are kept.
            together: Most records of an image that make one item.

        Raises:
            InputError: If it is missing, broken or holds nothing that can be used.
        """
        self.path, self.image_folder, self.skipped = Path(path), Path(image_folder), skipped
        if not self.path.is_file():
            raise InputError(f"The data file {path} does not exist: expected LLaVA-format JSON.")
        if not self.image_folder.is_dir():
            raise InputError(
                f"The image folder {image_folder} does not exist: give --image_folder."
            )
        spans: list[tuple[int, int]] = []
        groups: dict[Any, list[int]] = {}
        known: dict[str, bool] = {}
        for number, (start, end, raw) in enumerate(scan(self.path), 1):
            try:
                record = parse_record(raw)
                if record.image is None and not text_only:
                    raise BadRecord("it has no image, and only the adapter is trained")
                self._check_image(record.image, known)
            except BadRecord as error:
                name = raw.get("id", "") if isinstance(raw, dict) else ""
                skipped.add(str(name) or f"number {number}", str(error))
                continue
            subject = record.image or number  # what has no image stands alone
            groups.setdefault(subject, []).append(len(spans))
            spans.append((start, end))
        if not spans:
            why = f"; the first skipped record is {skipped.first}" if skipped.count else ""
            raise InputError(f"{path} contains no usable record{why}.")
        self.spans = np.array(spans)
        self.groups = [
            np.array(group[first : first + together])
            for group in groups.values()
            for first in range(0, len(group), together)
        ]

    def _check_image(self, name: str | None, known: dict[str, bool]) -> None:
        if name is None:
            return
        if not isinstance(name, str):
            raise BadRecord("image is not a file name")
        if name not in known:
            try:
                known[name] = (self.image_folder / name).is_file()
            except (OSError, ValueError):  # Such a name is valid on no file system.
                known[name] = False
        if not known[name]:
            raise BadRecord(f"the image {name} is missing")

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def lengths(self) -> list[int]:
        """Bytes of every item in the file: a measure of its length that costs nothing."""
        sizes = self.spans[:, 1] - self.spans[:, 0]
        return [int(sizes[group].sum()) for group in self.groups]

    def read(self, index: int) -> list[Record]:
        """All records of an item."""
        found = []
        with self.path.open("rb") as file:
            for start, end in self.spans[self.groups[index]]:
                file.seek(start)
                found.append(parse_record(json.loads(file.read(end - start))))
        return found
