"""JSON lines: ``image``, ``question``, and if known ``answer(s)``, ``boxes``, ``choices``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vif.data.example import DataSet, Example, SkippedEntry
from vif.data.fields import answers_of, boxes_of, choices_of, field, text_of
from vif.errors import InputError


def read_jsonl(
    path: Path, folder: Path, columns: Mapping[str, str], question: str | None = None
) -> DataSet:
    """Reads a file of JSON lines.

    Args:
        path: The file.
        folder: Relative image paths are of this folder.
        columns: Other names for the fields.
        question: Asked where a line has none.
    """
    examples, skipped = [], []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise InputError("it is not a JSON object")
                examples.append(example_of(record, f"line {number}", folder, columns, question))
            except (InputError, json.JSONDecodeError) as error:
                why = str(error) if isinstance(error, InputError) else "it is no JSON"
                skipped.append(SkippedEntry(f"line {number}", why))
    return DataSet(str(path), "jsonl", examples, skipped)


def example_of(
    record: Mapping[str, Any],
    name: str,
    folder: Path,
    columns: Mapping[str, str],
    question: str | None = None,
) -> Example:
    """One record as an example.

    Raises:
        InputError: If a field has the wrong kind or the image is missing; the message goes on
            after the record's name.
    """
    given = text_of(field(record, "image", columns), "image")
    fields = fields_without_image(record, name, columns, question)
    return Example(image=image_path(given, folder), source=given, **fields)


def fields_without_image(
    record: Mapping[str, Any], name: str, columns: Mapping[str, str], question: str | None
) -> dict[str, Any]:
    """All fields of an example but its image."""
    choices = choices_of(field(record, "choices", columns))
    asked = field(record, "question", columns)
    found = field(record, "name", columns)
    group = field(record, "group", columns)
    return {
        "name": name if found is None else f"{name} ({found})",
        "question": text_of(question if asked is None else asked, "question"),
        "answers": answers_of(field(record, "answers", columns), choices),
        "boxes": boxes_of(field(record, "boxes", columns)),
        "choices": choices,
        "context": str(field(record, "context", columns) or ""),
        "group": "" if group is None else str(group),
    }


def image_path(name: str, folder: Path) -> Path:
    """The file of an image.

    Raises:
        InputError: If there is none.
    """
    path = Path(name) if Path(name).is_absolute() else folder / name
    if not path.is_file():
        raise InputError(f"its image {name!r} is not in {str(folder)!r}: give --image-folder")
    return path
