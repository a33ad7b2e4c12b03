"""Families that read the whole image and, at a higher resolution, tiles of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from transformers.image_processing_utils import select_best_resolution
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas
from transformers.models.ovis2.image_processing_pil_ovis2 import get_min_tile_covering_grid
from transformers.models.ovis2.image_processing_pil_ovis2 import (
    get_optimal_tiled_canvas as get_ovis_canvas,
)

from vif.model.families.layout import Block, Layout, cells_between, grid_cells, make_layout
from vif.model.families.picture import Picture, pair, size_of
from vif.model.families.whole import out_of_square, seen_share

# The most tiles of LLaVA-OneVision's map before it is shrunk, and by how much it may exceed them.
_MAX_TILES, _TOLERANCE = 9, 1.1


def anyres(picture: Picture) -> Layout:
    """LLaVA-NeXT: whole image, then a map of tiles whose rows end in a newline token."""
    return _anyres(picture, max_tiles=None)


def anyres_max(picture: Picture) -> Layout:
    """LLaVA-OneVision: the same, but a map of too many tiles is shrunk.

    One of several images has no tiles: it is padded to a square, and ends in a newline token.
    """
    vision = picture.config.vision_config
    side = vision.image_size // vision.patch_size
    if picture.number == side * side + 1:
        seen = out_of_square(_squashed(vision, side), picture.size)
        cells = np.concatenate([seen, np.full((1, 4), np.nan)])
        block = Block("whole", "whole image", side, side)
        return make_layout([(block, cells)], picture.number, picture.config.model_type)
    return _anyres(picture, max_tiles=_MAX_TILES)


def _anyres(picture: Picture, max_tiles: int | None) -> Layout:
    vision = picture.config.vision_config
    side = vision.image_size // vision.patch_size
    width, height = picture.size
    canvas_height, canvas_width = select_best_resolution(
        (height, width), picture.config.image_grid_pinpoints
    )
    tile = vision.image_size
    full = (canvas_height // tile * side, canvas_width // tile * side)
    # The image keeps its aspect ratio and lies in the middle of the canvas.
    scale = min(canvas_width / width, canvas_height / height)
    if canvas_width / width < canvas_height / height:
        laid = (canvas_width, min(math.ceil(height * scale), canvas_height))
    else:
        laid = (min(math.ceil(width * scale), canvas_width), canvas_height)
    skipped = _unpadded(full, picture.size)
    rows, columns = (n - 2 * skip for n, skip in zip(full, skipped, strict=True))
    shape = (rows, columns)
    if max_tiles is not None:
        ratio = math.sqrt(rows * columns / (max_tiles * side**2))
        if ratio > _TOLERANCE:
            shape = (int(rows // ratio), int(columns // ratio))
    spans = [
        _on_canvas(skip, skip + length, number, side, vision.patch_size, tile)
        for skip, length, number in zip(skipped, (rows, columns), shape, strict=True)
    ]
    corner = ((canvas_height - laid[1]) // 2, (canvas_width - laid[0]) // 2)
    down = (spans[0] - corner[0]) / laid[1]
    across = (spans[1] - corner[1]) / laid[0]
    cells = cells_between(across, down)
    newline = np.full((shape[0], 1, 4), np.nan)
    tiles = np.concatenate([cells, newline], 1).reshape(-1, 4)
    parts = [
        (Block("whole", "whole image", side, side), _squashed(vision, side)),
        (Block("tiles", "tiles", *shape), tiles),
    ]
    return make_layout(parts, picture.number, picture.config.model_type)


def _squashed(vision_config: Any, side: int) -> np.ndarray:
    return grid_cells(side, side, (0, 0, *seen_share(vision_config)))


def _unpadded(full: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of tokens that are dropped at either side because they are padding."""
    rows, columns = full
    width, height = size
    if width / height > columns / rows:
        kept = int(round(height * (columns / width), 7))
        return ((rows - kept) // 2, 0)
    kept = int(round(width * (rows / height), 7))
    return (0, (columns - kept) // 2)


def _on_canvas(first: int, last: int, number: int, side: int, patch: int, tile: int) -> np.ndarray:
    """Where tokens first .. last of a row, shrunk to `number`, begin and end on the canvas.

    A tile need not be a whole number of patches: the rest at its end is seen by no token.
    """
    edges = np.linspace(first, last, number + 1)
    begin = edges[:-1] // side * tile + edges[:-1] % side * patch
    before = np.ceil(edges[1:] / side) - 1
    end = before * tile + (edges[1:] - before * side) * patch
    return np.stack([begin, end], -1)


def split_image(picture: Picture) -> Layout:
    """SmolVLM, Idefics 3: tiles row by row, the whole image last; one tile is the whole image."""
    vision = picture.config.vision_config
    side = pair(vision.image_size)[0] // pair(vision.patch_size)[0] // picture.config.scale_factor
    rows, columns = _split(picture)
    return _tiles_then_whole(picture, rows, columns, side)


def _split(picture: Picture) -> tuple[int, int]:
    """Rows and columns of tiles, rounded at every step as the image processor rounds them."""
    image_processor = picture.processor.image_processor
    if not image_processor.do_image_splitting:
        return (1, 1)
    edge = image_processor.size["longest_edge"]
    tile = image_processor.max_image_size["longest_edge"]
    width, height = picture.size
    aspect = width / height
    if width >= height:
        resized = int(edge / aspect)
        resized = max(resized + resized % 2, 1)
        columns = math.ceil(edge / tile)
        rows = math.ceil(int(columns * tile / (edge / resized)) / tile)
        return (rows, columns)
    resized = int(edge * aspect)
    resized = max(resized + resized % 2, 1)
    rows = math.ceil(edge / tile)
    columns = math.ceil(int(rows * tile * (resized / edge)) / tile)
    return (rows, columns)


def canvas_tiles(picture: Picture) -> Layout:
    """InternVL, Aya Vision: tiles row by row, a thumbnail of the whole image last."""
    vision = picture.config.vision_config
    patches = pair(vision.image_size)[0] // pair(vision.patch_size)[0]
    factor = getattr(picture.config, "downsample_factor", 1)
    side = round(patches * getattr(picture.config, "downsample_ratio", 1 / factor))
    if picture.number == side * side:
        return _tiles_then_whole(picture, 1, 1, side)
    image_processor = picture.processor.image_processor
    width, height = picture.size
    tile = size_of(image_processor.size)[::-1]
    columns, rows = get_optimal_tiled_canvas(
        (height, width), tile, image_processor.min_patches, image_processor.max_patches
    )
    return _tiles_then_whole(picture, rows, columns, side)


def scaled_tiles(picture: Picture) -> Layout:
    """Cohere 2 Vision: the grid that scales the image up least, row by row; a thumbnail last."""
    vision, image_processor = picture.config.vision_config, picture.processor.image_processor
    patches = pair(vision.image_size)[0] // pair(vision.patch_size)[0]
    side = patches // picture.config.downsample_factor
    if picture.number == side * side:
        return _tiles_then_whole(picture, 1, 1, side)
    tile, most = size_of(image_processor.size), image_processor.max_patches
    numbers = range(1, most + 1)
    grids = [(c, r) for c in numbers for r in numbers if c * r <= most]
    grids.sort(key=lambda grid: grid[0] * grid[1])
    scale = np.array([min(np.array(grid) * tile / picture.size) for grid in grids])
    # Of grids that shrink the image the largest one, of others the one that enlarges it least.
    enlarging = np.where(scale < 1, np.inf, scale)
    best = scale.argmax() if (scale < 1).all() else enlarging.argmin()
    columns, rows = grids[best]
    return _tiles_then_whole(picture, rows, columns, side)


def large_tiles(picture: Picture) -> Layout:
    """LFM2-VL: a small image whole; of a large one tiles row by row, then the whole image."""
    image_processor, factor = picture.processor.image_processor, picture.config.downsample_factor
    shapes = (picture.inputs["spatial_shapes"] // factor).tolist()
    parts = []
    if picture.number != shapes[0][0] * shapes[0][1]:
        edge = image_processor.tile_size
        columns, rows = get_optimal_tiled_canvas(
            picture.size[::-1], (edge, edge), image_processor.min_tiles, image_processor.max_tiles
        )
        parts, shapes = _tiles(rows, columns, shapes[0][0]), shapes[rows * columns :]
    if image_processor.use_thumbnail or not parts:
        rows, columns = shapes[0]
        parts.append((Block("whole", "whole image", rows, columns), grid_cells(rows, columns)))
    return make_layout(parts, picture.number, picture.config.model_type)


def covering_tiles(picture: Picture) -> Layout:
    """Ovis 2: the whole image first, then tiles row by row, with separators that are no image."""
    vision, image_processor = picture.config.vision_config, picture.processor.image_processor
    # Patches that do not fill the last token are padded.
    patches = pair(vision.image_size)[0] // pair(vision.patch_size)[0]
    side = -(-patches // vision.hidden_stride)
    rows = columns = 1
    if picture.number > side * side:
        width, height = picture.size
        edge = size_of(image_processor.size)[0]
        if image_processor.use_covering_area_grid:
            columns, rows = get_min_tile_covering_grid(
                (height, width), target_patch_size=edge, max_image_tiles=image_processor.max_patches
            )
        else:
            columns, rows = get_ovis_canvas(
                (height, width), (edge, edge), image_processor.min_patches,
                image_processor.max_patches,
            )  # fmt: skip
    tiles = _tiles(rows, columns, side)
    return make_layout([_whole(side), *tiles], picture.number, picture.config.model_type)


def _tiles_then_whole(picture: Picture, rows: int, columns: int, side: int) -> Layout:
    tiles = _tiles(rows, columns, side)
    return make_layout([*tiles, _whole(side)], picture.number, picture.config.model_type)


def _whole(side: int) -> tuple[Block, np.ndarray]:
    return Block("whole", "whole image", side, side), grid_cells(side, side)


def _tiles(rows: int, columns: int, side: int) -> list[tuple[Block, np.ndarray]]:
    """Tiles row by row; a single tile is the whole image."""
    parts = []
    for i in range(rows * columns if rows * columns > 1 else 0):
        row, column = divmod(i, columns)
        region = (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
        block = Block("tile", f"tile {i + 1} of {rows * columns}", side, side, region)
        parts.append((block, grid_cells(side, side, region)))
    return parts
