"""Asking again about a part of the picture: a map laid on it, a crop, a second answer.

Coordinates are in [0, 1] of the original picture unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from vif.inputs.boxes import Box, as_box
from vif.methods.base import Request
from vif.model.batch import Batch
from vif.model.families import Layout
from vif.model.families.layout import WHOLE
from vif.recording import Recorder

MOST_CELLS = 128


@dataclass(frozen=True)
class PictureMap:
    """A map laid on the part of a picture that the model sees.

    Attributes:
        values: (R, C), as fine as the finest tokens; sums to what the map sums to.
        region: The part of the picture.
    """

    values: np.ndarray
    region: Box

    @property
    def points(self) -> np.ndarray:
        """Centre of every cell within the region, (R * C, 2), in [0, 1] of the region."""
        rows, columns = self.values.shape
        y, x = np.mgrid[:rows, :columns]
        return np.stack([(x.ravel() + 0.5) / columns, (y.ravel() + 0.5) / rows], -1)

    def outside(self, box: Box) -> Box:
        """A box in [0, 1] of the region in the picture's coordinates."""
        return _within(np.array(box), self.region)

    def size(self, image: Image.Image) -> tuple[int, int]:
        """Width and height of the region in pixels."""
        x0, y0, x1, y1 = self.region
        return max(1, round((x1 - x0) * image.width)), max(1, round((y1 - y0) * image.height))


@dataclass(frozen=True)
class EditedPicture:
    """A picture to ask about instead of the original.

    Attributes:
        image: The picture.
        box: Which part of the original it shows.
    """

    image: Image.Image
    box: Box


def lay_on_picture(layout: Layout, weights: np.ndarray) -> PictureMap:
    """Lays a map (N,) on the picture; tokens of several scales add up."""
    known = ~np.isnan(layout.cells).any(1)
    cells, weights, blocks = layout.cells[known], weights[known], layout.blocks[known]
    low, high = cells[:, :2].min(0), cells[:, 2:].max(0)
    sides = cells[:, 2:] - cells[:, :2]
    finest = np.min([np.median(sides[blocks == block], 0) for block in np.unique(blocks)], 0)
    columns, rows = np.clip(np.rint((high - low) / finest), 1, MOST_CELLS).astype(int)
    across = _shares(cells[:, 0], cells[:, 2], low[0], high[0], columns)
    down = _shares(cells[:, 1], cells[:, 3], low[1], high[1], rows)
    values = np.einsum("n,nr,nc->rc", weights, down, across)
    return PictureMap(values, (*low.tolist(), *high.tolist()))


def _shares(start: np.ndarray, end: np.ndarray, low: float, high: float, count: int) -> np.ndarray:
    """Which share of every interval lies in each of `count` equal parts, (N, count)."""
    edges = np.linspace(low, high, count + 1)
    first = np.maximum(start[:, None], edges[:-1])
    last = np.minimum(end[:, None], edges[1:])
    return (last - first).clip(0) / (end - start)[:, None]


def ranked(weights: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Indices of weights (M,), the largest first.

    Of equals the one comes first that lies nearer to the middle of the weights, so that what a box
    leaves open is not decided by reading order.

    Args:
        weights: (M,), >= 0.
        points: Where each lies, (M, 2).
    """
    total = weights.sum()
    middle = weights @ points / total if total > 0 else points.mean(0)
    return np.lexsort((np.square(points - middle).sum(1), -weights))


def top_cells(field: PictureMap, share: float) -> np.ndarray:
    """Which cells are the top share of a field, (R, C) bool; one at least."""
    order = ranked(field.values.ravel(), field.points)
    kept = np.zeros(order.shape, bool)
    kept[order[: max(1, round(share * len(order)))]] = True
    return kept.reshape(field.values.shape)


def fullest_window(field: PictureMap, share: float) -> Box:
    """The window of a share of the region's area, in its shape, that holds most of the map."""
    rows, columns = field.values.shape
    height, width = (max(1, round(n * share**0.5)) for n in (rows, columns))
    sums = sliding_sums(field.values, height, width)
    y, x = np.mgrid[: sums.shape[0], : sums.shape[1]]
    corners = np.stack([x.ravel() + width / 2, y.ravel() + height / 2], -1) / [columns, rows]
    weights = field.values.ravel()
    total = weights.sum()
    middle = weights @ field.points / total if total > 0 else np.full(2, 0.5)
    # Sums that differ by rounding only are equal; the nearest to the middle of the map wins.
    order = np.lexsort((np.square(corners - middle).sum(1), -sums.ravel().round(9)))
    top, left = np.unravel_index(order[0], sums.shape)
    box = (left / columns, top / rows, (left + width) / columns, (top + height) / rows)
    return field.outside(box)


def sliding_sums(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sums over all windows, (R - height + 1, C - width + 1)."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    taller = table[height:] - table[:-height]
    return taller[:, width:] - taller[:, :-width]


def black_out(image: Image.Image, field: PictureMap, kept: np.ndarray) -> Image.Image:
    """The picture with cells of the field that are not kept (R, C) in black."""
    if kept.all():
        return image
    size = field.size(image)
    mask = Image.fromarray(kept).convert("L").resize(size, Image.Resampling.NEAREST)
    full = Image.new("L", image.size, 255)
    full.paste(mask, (round(field.region[0] * image.width), round(field.region[1] * image.height)))
    return Image.composite(image, Image.new(image.mode, image.size), full)


def cut_out(image: Image.Image, box: Box, size: tuple[int, int]) -> EditedPicture:
    """A part of the picture, magnified to `size`; the whole picture stays unchanged."""
    scale = np.array([image.width, image.height, image.width, image.height])
    x0, y0, x1, y1 = np.rint(np.array(box) * scale).astype(int).tolist()
    x0, y0 = min(x0, image.width - 1), min(y0, image.height - 1)
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    if (x0, y0, x1, y1) == (0, 0, *image.size):
        return EditedPicture(image, WHOLE)
    part = image.crop((x0, y0, x1, y1)).resize(size, Image.Resampling.BICUBIC)
    return EditedPicture(part, as_box((np.array([x0, y0, x1, y1]) / scale).tolist()))


def ask_again(request: Request, views: Sequence[EditedPicture]) -> Recorder:
    """The same questions about other pictures.

    Tokens are placed where they lie on the original, so that heatmaps fall on the right pixels
    and what a view leaves out is drawn as unseen.

    Raises:
        InputError: If the views need different numbers of image tokens.
    """
    prompts = []
    for view, prompt in zip(views, request.batch.prompts, strict=True):
        again = request.backbone.vary(prompt, view.image)
        prompts.append(replace(again, layout=in_whole_picture(again.layout, view.box)))
    recorder = Recorder(Batch.make(request.backbone, prompts))
    for note, view in zip(recorder.notes, views, strict=True):
        note["box"] = [round(side, 6) for side in view.box]
    return recorder


def in_whole_picture(layout: Layout, box: Box) -> Layout:
    """A layout of a part of a picture in the coordinates of the whole."""
    grids = tuple(replace(g, region=_within(np.array(g.region), box)) for g in layout.grids)
    x0, y0, x1, y1 = box
    scale, corner = [x1 - x0, y1 - y0] * 2, [x0, y0] * 2
    return replace(layout, cells=layout.cells * scale + corner, grids=grids)


def _within(inner: np.ndarray, outer: Box) -> Box:
    x0, y0, x1, y1 = outer
    return as_box((inner * ([x1 - x0, y1 - y0] * 2) + ([x0, y0] * 2)).tolist())
