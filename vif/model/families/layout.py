"""Where image tokens lie on the original image. Does not know models."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vif.errors import InputError

Region = tuple[float, float, float, float]

WHOLE: Region = (0.0, 0.0, 1.0, 1.0)
# Regions thinner than this are rounding, not pixels.
_SLIVER = 1e-6


@dataclass(frozen=True)
class Block:
    """One grid of image tokens.

    Attributes:
        kind: ``"whole"`` for a look at the whole image, ``"tiles"`` for one map merged of tiles,
            ``"tile"`` for a single tile, ``"crop"`` for an extra crop.
        name: What a person may call it.
        rows: Rows of tokens.
        columns: Columns of tokens, without the newline token at a row's end.
        region: What it covers (x0, y0, x1, y1), in [0, 1] image coordinates.
    """

    kind: str
    name: str
    rows: int
    columns: int
    region: Region = WHOLE


@dataclass(frozen=True)
class Layout:
    """Where the image tokens of one prompt lie on the original image.

    Attributes:
        cells: Rectangle (x0, y0, x1, y1) of every token in sequence order, (N, 4), in [0, 1]
            image coordinates; NaN for a token that is not on the image.
        blocks: Which grid a token belongs to, (N,); 0 is the whole image.
        padding: True for a token that sees nothing but padding, (N,).
        grids: What each number in `blocks` stands for.
    """

    cells: np.ndarray
    blocks: np.ndarray
    padding: np.ndarray
    grids: tuple[Block, ...]

    @property
    def centres(self) -> np.ndarray:
        """Token centres (x, y), (N, 2)."""
        return (self.cells[:, :2] + self.cells[:, 2:]) / 2

    @property
    def unseen(self) -> list[Region]:
        """Parts of the image that no token sees: cropped away, or lost at an edge."""
        return uncovered(self.cells)

    def describe(self) -> dict[str, Any]:
        """What `cells` does not tell, as JSON values: ``grids``, ``padding``, ``unseen``."""
        return {
            "grids": [asdict(block) for block in self.grids],
            "padding": np.flatnonzero(self.padding).tolist(),
            "unseen": [list(region) for region in self.unseen],
        }


def make_layout(parts: list[tuple[Block, np.ndarray]], number: int, model_type: str) -> Layout:
    """Puts blocks together in the order of their tokens.

    Args:
        parts: Every block with its cells (n, 4), NaN rows for newline tokens; cells may reach over
            the border of the image. The block of the whole image gets number 0 wherever it comes.
        number: Image tokens in the prompt.
        model_type: For the message.

    Raises:
        InputError: If the blocks have another number of tokens than the prompt.
    """
    found = sum(len(cells) for _, cells in parts)
    if found != number:
        raise InputError(
            f"The prompt holds {number} image tokens, but a {model_type} model with this image "
            f"processor should make {found}, so their places are unknown."
        )
    order = sorted(range(len(parts)), key=lambda i: parts[i][0].kind != "whole")
    blocks = np.concatenate(
        [np.full(len(cells), order.index(i)) for i, (_, cells) in enumerate(parts)]
    )
    cells = np.concatenate([cells for _, cells in parts])
    inside = cells.clip(0, 1)
    is_empty = (inside[:, 2] - inside[:, 0] < _SLIVER) | (inside[:, 3] - inside[:, 1] < _SLIVER)
    is_padding = is_empty & ~np.isnan(cells).any(1)
    inside[is_padding] = np.nan
    return Layout(inside, blocks, is_padding, tuple(parts[i][0] for i in order))


def grid_cells(rows: int, columns: int, region: Region = WHOLE) -> np.ndarray:
    """Cells of a regular grid over a region of the image, (rows * columns, 4), row-major."""
    return cells_between(
        _spans(region[0], region[2], columns), _spans(region[1], region[3], rows)
    ).reshape(-1, 4)


def cells_between(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cells of a grid whose columns (C, 2) and rows (R, 2) begin and end anywhere, (R, C, 4)."""
    shape = (len(rows), len(columns))
    sides = (columns[:, 0], rows[:, :1], columns[:, 1], rows[:, 1:])
    return np.stack([np.broadcast_to(side, shape) for side in sides], -1).astype(float)


def _spans(start: float, end: float, number: int) -> np.ndarray:
    edges = np.linspace(start, end, number + 1)
    return np.stack([edges[:-1], edges[1:]], -1)


def uncovered(cells: np.ndarray) -> list[Region]:
    """Rectangles of the image that lie in no cell, without overlap, top to bottom.

    Args:
        cells: Rectangles, (N, 4), NaN rows are off the image.
    """
    cells = cells[~np.isnan(cells).any(1)].round(6)
    x = np.unique(np.concatenate([[0, 1], cells[:, 0], cells[:, 2]]))
    y = np.unique(np.concatenate([[0, 1], cells[:, 1], cells[:, 3]]))
    x, y = (edges[np.diff(edges, append=np.inf) > 2 * _SLIVER] for edges in (x, y))
    is_bare = np.ones((len(y) - 1, len(x) - 1), bool)
    first = np.stack([np.searchsorted(x, cells[:, 0]), np.searchsorted(y, cells[:, 1])], -1)
    last = np.stack([np.searchsorted(x, cells[:, 2]), np.searchsorted(y, cells[:, 3])], -1)
    for (left, top), (right, bottom) in zip(first, last, strict=True):
        is_bare[top:bottom, left:right] = False
    regions: list[Region] = []
    top = 0
    for row in range(1, len(is_bare) + 1):
        if row == len(is_bare) or (is_bare[row] != is_bare[top]).any():
            edges = np.flatnonzero(np.diff(is_bare[top], prepend=False, append=False))
            for left, right in edges.reshape(-1, 2):
                regions.append((float(x[left]), float(y[top]), float(x[right]), float(y[row])))
            top = row
    return regions
