"""The pixel ruler as HTML: which pixels every image token sees, and which no token sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vif.draw import render
from vif.ui.html.templates import fill
from vif.ui.html.words import counted
from vif.ui.state.result import Result

# Around a picture as narrow as a line, padding is far larger than the picture.
_MOST_AROUND = 1.0
_BACKGROUND = 226
_QUALITY = 70  # a first visit loads this picture, too
_TITLES = {"whole": "Whole image", "tiles": "Tiles", "tile": "Tiles", "crop": "Crops"}

Box = tuple[float, float, float, float]


def ruler_panel(result: Result) -> str:
    """One figure per scale: token cells, blocks, padding, and what is never seen in grey."""
    trace = result.first
    layout = trace.meta.get("layout")
    if layout is None:
        return fill("ruler", layout=None)
    grids = layout["grids"]
    scales = [[i] for i in range(min(1, len(grids)))] + [list(range(1, len(grids)))]
    is_placed = np.asarray(np.isfinite(trace.cells).all(1))
    padding = len(layout["padding"])
    others = int((~is_placed).sum()) - padding
    return fill(
        "ruler",
        layout=layout,
        tokens=len(is_placed),
        placed=int(is_placed.sum()),
        off=_listed((padding, "padding token"), (others, "line end")),
        lost=sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in layout["unseen"]),
        figures=[_scale(result, layout, numbers) for numbers in scales if numbers],
    )


def _listed(*counts: tuple[int, str]) -> str:
    """Counts that are not zero as words."""
    return " and ".join(counted(count, word) for count, word in counts if count)


def _scale(result: Result, layout: dict[str, Any], numbers: list[int]) -> dict[str, Any]:
    """The grids of one scale over the picture, as the template draws them."""
    trace, grids = result.first, layout["grids"]
    inside = np.isin(trace.blocks, numbers)
    cells = trace.cells[inside & np.isfinite(trace.cells).all(1)]
    outlines = [_outline(trace.cells[trace.blocks == i]) for i in numbers]
    padding = [box for i in numbers for box in _padding(trace, layout, i)]
    canvas, place, is_whole = _canvas(result.picture, layout["unseen"], padding)
    shapes = [_path(place(cells), "vl-grid-under"), _path(place(cells), "vl-grid")]
    if is_whole and padding:
        shapes.append(_path(place(np.array(padding)), "vl-grid-padding"))
    known = [box for box in outlines if box is not None]
    if known:
        thick = place(np.array(known))
        shapes += [_path(thick, "vl-block-under"), _path(thick, "vl-block")]
    shapes_of = [grids[i] for i in numbers]
    return {
        "title": _TITLES.get(grids[numbers[0]]["kind"], "Tiles"),
        "image": render.data_url(canvas, _QUALITY),
        "height": canvas.shape[0],
        "width": canvas.shape[1],
        "paths": shapes,
        **_caption(shapes_of, len(cells), int(inside.sum()), len(padding)),
        "is_padding_drawn": bool(padding) and is_whole,
        "is_padding_left_out": bool(padding) and not is_whole,
    }


def _caption(grids: list[dict[str, Any]], placed: int, tokens: int, padding: int) -> dict[str, Any]:
    """Rows x columns of each grid, and how many tokens are padding or line ends."""
    shapes = [(grid["rows"], grid["columns"]) for grid in grids]
    sizes = f"{shapes[0][0]} x {shapes[0][1]}"
    if len(grids) > 1 and len(set(shapes)) == 1:
        sizes = f"{len(grids)} grids of {sizes}"
    elif len(grids) > 1:
        each = zip(grids, shapes, strict=True)
        sizes = ", ".join(f"{grid['name']} {rows} x {cols}" for grid, (rows, cols) in each)
    off = _listed((padding, "padding token"), (tokens - placed - padding, "line end"))
    return {"sizes": sizes, "placed": placed, "off": off}


def _outline(cells: np.ndarray) -> Box | None:
    """The smallest rectangle around cells; None if none is on the image."""
    cells = cells[np.isfinite(cells).all(1)]
    if not len(cells):
        return None
    return (*cells[:, :2].min(0).tolist(), *cells[:, 2:].max(0).tolist())


def _padding(trace: Any, layout: dict[str, Any], number: int) -> list[Box]:
    """Where the padding tokens of a grid lie beside the image, from the pitch of its cells."""
    grid = layout["grids"][number]
    members = np.flatnonzero(trace.blocks == number)
    # A token at the end of each row makes rows one longer.
    stride = len(members) // grid["rows"]
    row, column = np.divmod(np.arange(len(members)), stride)
    is_padding = np.isin(members, layout["padding"])
    cells = trace.cells[members]
    is_placed = np.isfinite(cells).all(1)
    if not is_padding.any() or not is_placed.any():
        return []
    x = _axis(column[is_placed], cells[is_placed][:, [0, 2]])
    y = _axis(row[is_placed], cells[is_placed][:, [1, 3]])
    return [
        (x[0] + c * x[1], y[0] + r * y[1], x[0] + (c + 1) * x[1], y[0] + (r + 1) * y[1])
        for r, c in zip(row[is_padding], column[is_padding], strict=True)
    ]


def _axis(index: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
    """Start and pitch of a row of cells; the middle one is the one that no border cuts."""
    middle = np.sort(index)[len(index) // 2]
    start, end = edges[index == middle][0]
    return float(start - middle * (end - start)), float(end - start)


def _canvas(
    picture: np.ndarray, unseen: Iterable[Box], padding: list[Box]
) -> tuple[Any, Any, bool]:
    """The picture with room for the padding, a function to its pixels, and whether all fits."""
    height, width = picture.shape[:2]
    box = np.array([[0.0, 0.0, 1.0, 1.0], *padding])
    low, high = box[:, :2].min(0), box[:, 2:].max(0)
    has_room = bool((low >= -_MOST_AROUND).all() and (high <= 1 + _MOST_AROUND).all())
    if not has_room:
        low, high = np.zeros(2), np.ones(2)
    left, top = np.ceil(-low * [width, height]).astype(int)
    right, bottom = np.ceil((high - 1) * [width, height]).astype(int)
    canvas = np.full((top + height + bottom, left + width + right, 3), _BACKGROUND, np.uint8)
    canvas[top : top + height, left : left + width] = render.grey_out(picture, unseen)

    def place(boxes: np.ndarray) -> np.ndarray:
        return boxes * [width, height, width, height] + [left, top, left, top]

    return canvas, place, has_room


def _path(boxes: np.ndarray, class_: str) -> tuple[str, str]:
    """Many rectangles as one SVG path with its class: thousands of elements would be slow."""
    drawn = "".join(f"M{x0:.1f} {y0:.1f}H{x1:.1f}V{y1:.1f}H{x0:.1f}Z" for x0, y0, x1, y1 in boxes)
    return class_, drawn
