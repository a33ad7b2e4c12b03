"""One record of a file, checked field by field. Knows the names that other projects use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vif.errors import InputError
from vif.inputs.boxes import Box, as_box

# The first name that is there is read; --columns puts a person's own name before them.
NAMES = {
    "image": ("image", "image_path", "file_name", "img"),
    "question": ("question", "query", "prompt", "instruction"),
    "answers": ("answers", "answer", "label"),
    "boxes": ("boxes", "box", "bboxes", "bbox"),
    "choices": ("choices", "options"),
    "context": ("context",),
    "group": ("group", "family", "category"),
    "name": ("id", "question_id"),
}


def field(record: Mapping[str, Any], name: str, columns: Mapping[str, str]) -> Any:
    """The value of a field under any of its names, None if it has none.

    Raises:
        InputError: If `columns` names one that the record lacks.
    """
    if name in columns:
        if columns[name] not in record:
            raise InputError(
                f"there is no {columns[name]!r}: it has {', '.join(map(str, record)) or 'nothing'}"
            )
        return record[columns[name]]
    return next((record[key] for key in NAMES[name] if record.get(key) is not None), None)


def text_of(value: Any, name: str) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"its {name} is {_shown(value)}, expected a text")
    return value.strip()


def answers_of(value: Any, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Right answers: a text, a number, a list of either, or VQAv2's list of ``{"answer": ...}``.

    A number with choices is the index of the right one.
    """
    if value is None:
        return ()
    given = list(value) if isinstance(value, list | tuple) else [value]
    found = []
    for entry in given:
        answer = entry.get("answer") if isinstance(entry, Mapping) else entry
        if isinstance(answer, bool) or not isinstance(answer, str | int | float):
            raise InputError(f"its answer is {_shown(entry)}, expected a text or a number")
        found.append(_chosen(answer, choices) if choices else str(answer).strip())
    return tuple(found)


def _chosen(answer: str | float, choices: tuple[str, ...]) -> str:
    """The right choice, given by its index, its letter or its text."""
    if isinstance(answer, int):
        if not 0 <= answer < len(choices):
            raise InputError(f"its answer is choice {answer}, but it has 0 to {len(choices) - 1}")
        return choices[answer]
    text = str(answer).strip()
    if text in choices:
        return text
    if len(text) == 1 and 0 <= (index := ord(text.upper()) - ord("A")) < len(choices):
        return choices[index]
    raise InputError(f"its answer {text!r} is none of its choices: {', '.join(choices)}")


def choices_of(value: Any) -> tuple[str, ...]:
    """What may be answered: a list of at least two texts or numbers."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 26:
        raise InputError(f"its choices are {_shown(value)}, expected a list of 2 to 26 texts")
    return tuple(str(choice).strip() for choice in value)


def boxes_of(value: Any) -> tuple[Box, ...]:
    """Boxes: one of four numbers, or a list of such."""
    if value is None:
        return ()
    try:
        given = list(value)
        given = [given] if given and not hasattr(given[0], "__len__") else given
        return tuple(as_box(float(side) for side in box) for box in given)
    except (TypeError, ValueError):
        raise InputError(f"its box is {_shown(value)}, expected x0, y0, x1, y1") from None


def _shown(value: Any) -> str:
    shown = "missing" if value is None else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
