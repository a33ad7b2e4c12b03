"""LLaVA's JSON: a list of ``{"id", "image", "conversations"}``; every turn is a question."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vif.data.example import DataSet, Example, SkippedEntry
from vif.data.fields import boxes_of, text_of
from vif.data.jsonl import example_of, image_path
from vif.errors import InputError

_PLACEHOLDER = "<image>"


def read_json(
    path: Path, folder: Path, columns: Mapping[str, str], question: str | None = None
) -> DataSet:
    """Reads a JSON list of LLaVA's records, or of records with the fields of JSON lines.

    What this project's own scenes add (``questions``: boxes in pixels, family, context) is used.

    Args:
        path: The file.
        folder: Relative image paths are of this folder.
        columns: As in `read_jsonl`.
        question: As in `read_jsonl`.

    Raises:
        InputError: If the file is not a JSON list.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is no JSON ({error}): name a file with one object per line .jsonl."
        ) from None
    if not isinstance(records, list):
        raise InputError(f"{path} contains no list: expected LLaVA's format, a list of records.")
    examples, skipped = [], []
    for number, record in enumerate(records):
        try:
            if not isinstance(record, dict):
                raise InputError("it is not a JSON object")
            if "conversations" in record:
                examples += _turns(record, number, folder)
            else:
                examples.append(example_of(record, f"record {number}", folder, columns, question))
        except InputError as error:
            skipped.append(SkippedEntry(f"record {number}", str(error)))
    return DataSet(str(path), "llava", examples, skipped)


def _turns(record: Mapping[str, Any], number: int, folder: Path) -> Iterator[Example]:
    """Every question of a conversation separately, without the earlier turns."""
    name = text_of(record.get("image"), "image")
    image = image_path(name, folder)
    turns = record["conversations"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise InputError("its conversations are not a list of turns")
    facts = record.get("questions") or []
    said = [turn for turn in turns if turn.get("from") in ("human", "gpt")]
    pairs = zip(said[::2], said[1::2], strict=False)
    for k, (asked, answered) in enumerate(pairs):
        if asked.get("from") != "human" or answered.get("from") != "gpt":
            raise InputError("its turns do not alternate between human and gpt")
        text = text_of(asked.get("value"), "question").replace(_PLACEHOLDER, "").strip()
        fact = facts[k] if k < len(facts) else {}
        context = fact.get("context", "")
        yield Example(
            name=f"record {number} turn {k}",
            image=image,
            question=text_of(text.removeprefix(context), "question"),
            answers=(text_of(answered.get("value"), "answer"),),
            boxes=boxes_of(fact.get("boxes")),
            context=context,
            group=fact.get("family", ""),
            source=name,
        )
