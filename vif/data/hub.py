"""A data set of the Hugging Face Hub, or of a folder in its format, through ``datasets``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from vif.data.example import DataSet, Example, SkippedEntry
from vif.data.fields import NAMES
from vif.data.jsonl import fields_without_image
from vif.errors import InputError
from vif.inputs.images import ImageSource


def read_hub(
    name: str, split: str, columns: Mapping[str, str], question: str | None = None
) -> DataSet:
    """Reads one split of a data set of the Hugging Face Hub.

    Args:
        name: Name on the Hub, or ``name:configuration``.
        split: Which, for example ``"test"``.
        columns: Other names for the columns.
        question: Asked if the data set has no questions.

    Raises:
        InputError: If ``datasets`` is not installed, there is no such data set, or it lacks a
            column.
    """
    table = _load(name, split)
    image_column = _column(table, "image", columns, name)
    if question is None:
        _column(table, "question", columns, name)
    for chosen in columns.values():
        if chosen not in table.column_names:
            raise _missing(name, chosen, table)
    # Without the images: they are opened one by one, when they are asked about.
    texts = table.remove_columns([image_column])
    examples, skipped = [], []
    for number in range(len(table)):
        try:
            record = {key: value for key, value in texts[number].items() if value is not None}
            fields = fields_without_image(record, f"row {number}", columns, question)
        except InputError as error:
            skipped.append(SkippedEntry(f"row {number}", str(error)))
            continue
        image = partial(_image, table, number, image_column)
        examples.append(Example(image=image, source=f"row {number}", **fields))
    return DataSet(name, "hub", examples, skipped)


def _load(name: str, split: str) -> Any:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise InputError(
            f"{name!r} is neither a file nor a folder here, and reading it from the Hub needs "
            "the package datasets: run 'pip install datasets'."
        ) from None
    path, _, configuration = name.partition(":")
    try:
        return datasets.load_dataset(path, configuration or None, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name!r} is no file or folder here, and no data set with a split {split!r} that can "
            f"be read from the Hugging Face Hub: {first}."
        ) from error


def _column(table: Any, field: str, columns: Mapping[str, str], name: str) -> str:
    wanted = (columns[field],) if field in columns else NAMES[field]
    found = next((column for column in wanted if column in table.column_names), None)
    if found is None:
        raise _missing(name, " or ".join(wanted), table)
    return found


def _missing(name: str, column: str, table: Any) -> InputError:
    return InputError(
        f"The data set {name!r} has no column {column}, but {', '.join(table.column_names)}: name "
        "the right ones with --columns, for example --columns question=query."
    )


def _image(table: Any, number: int, column: str) -> ImageSource:
    value = table[number][column]
    # A column that was not cast to images holds the file's bytes.
    return value["bytes"] if isinstance(value, dict) else value
