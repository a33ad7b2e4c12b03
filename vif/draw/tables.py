"""Numbers as plain-text tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def grid(
    rows: Sequence[Any], columns: Sequence[Any], values: np.ndarray, form: str, corner: str = ""
) -> str:
    """Values (R, C) with names for rows and columns; NaN is left empty.

    Args:
        rows: Names of the rows.
        columns: Names of the columns.
        values: The numbers.
        form: Format of a number, for example ``"+.2f"``.
        corner: What the names of the rows are.
    """
    cells = [["" if np.isnan(v) else format(v, form) for v in line] for line in values]
    width = max(len(text) for line in [*cells, list(map(str, columns))] for text in line) + 2
    first = max(len(str(name)) for name in [corner, *rows])
    head = f"{corner:<{first}}" + "".join(f"{name!s:>{width}}" for name in columns)
    lines = [
        f"{name!s:<{first}}" + "".join(f"{text:>{width}}" for text in line)
        for name, line in zip(rows, cells, strict=True)
    ]
    return "\n".join(line.rstrip() for line in [head, *lines])


def span(first: int, last: int) -> str:
    """A range of layers as text: `3-5`, or `3` for one layer."""
    return f"{first}" if first == last else f"{first}-{last}"
