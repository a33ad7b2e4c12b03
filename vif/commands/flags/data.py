"""Flags that choose a data set, and the questions read from it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vif import data
from vif.commands.flags.common import Flags
from vif.data import DataSet
from vif.data.fields import NAMES
from vif.data.reading import SCENES
from vif.errors import InputError

_SHOWN = 5


def add_data_flags(parser: Flags, default: str | None = SCENES, takes_query: bool = True) -> None:
    """Where questions are read from, and which."""
    parser.add_argument(
        "--data",
        default=default,
        help="a folder of images, LLaVA's .json, a .jsonl (image, question, answer or answers, "
        "boxes, choices), a folder of RefCOCO's files, a data set of the Hugging Face Hub (name or "
        "name:configuration), or scenes or scene-boxes for generated pictures",
    )
    parser.add_argument(
        "--image-folder", type=Path, help="folder that relative image paths start from"
    )
    parser.add_argument(
        "--columns", nargs="+", default=[], metavar="FIELD=COLUMN",
        help="names of fields, for example question=query",
    )  # fmt: skip
    if takes_query:
        parser.add_argument("--query", help="question for entries that have none")
    parser.add_argument("--data-split", default="test", help="split of scenes or of a Hub data set")


def read_data(args: argparse.Namespace, number: int) -> DataSet:
    """Reads the questions that the flags of `add_data_flags` choose, at most so many.

    What cannot be read is listed on stderr, the first lines of it.
    """
    if number < 1:
        raise InputError(f"--n is {number}, expected at least 1.")
    found = data.read(
        args.data,
        number=number,
        seed=args.seed,
        image_folder=args.image_folder,
        columns=parse_columns(args.columns),
        question=args.query,
        split=args.data_split,
    )
    list_skipped([vars(entry) for entry in found.skipped])
    return data.sample(found, number, args.seed)


def parse_columns(given: list[str]) -> dict[str, str]:
    """``["question=query"]`` as ``{"question": "query"}``.

    Raises:
        InputError: If an entry does not have that form or names no field.
    """
    columns = {}
    for entry in given:
        field, _, column = entry.partition("=")
        if field not in NAMES or not column:
            expected = ", ".join(NAMES)
            raise InputError(
                f"--columns {entry!r} cannot be read: expected FIELD=COLUMN with a field out of "
                f"{expected}."
            )
        columns[field] = column
    return columns


def list_skipped(skipped: list[dict[str, str]]) -> None:
    """Lists the entries that are left out on stderr."""
    for entry in skipped[:_SHOWN]:
        print(f"skipped {entry['where']}: {entry['why']}", file=sys.stderr)
    if len(skipped) > _SHOWN:
        print(f"skipped {len(skipped) - _SHOWN} more, listed in the results", file=sys.stderr)
