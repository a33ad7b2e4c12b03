"""Families that read the whole image once, as one grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from vif.model.families.layout import Block, Layout, grid_cells, make_layout
from vif.model.families.picture import Picture, pair, size_of

# Qwen's image processor refuses more. One that scales the short edge up before it crops would need
# a gigabyte for an image of 1 x 3000 pixels.
_MAX_RATIO = 200
_TOO_NARROW = "is too narrow for this model: crop it to the part that matters"


def fixed_grid(picture: Picture) -> Layout:
    """LLaVA, PaliGemma: a square grid over what the image processor keeps."""
    vision = picture.config.vision_config
    if vision.model_type == "pixtral":
        return resized_grid(picture)
    side = pair(vision.image_size)[0] // pair(vision.patch_size)[0]
    return one_block(picture, side, side, fixed_cells(picture, side))


def fixed_cells(picture: Picture, side: int) -> np.ndarray:
    """Cells of a square grid over what the image processor keeps of the image, (side^2, 4)."""
    vision = picture.config.vision_config
    is_told = hasattr(vision, "image_size") and hasattr(vision, "patch_size")
    right, bottom = seen_share(vision) if is_told else (1.0, 1.0)
    cells = grid_cells(side, side, (0, 0, right, bottom))
    return before_processing(cells, picture.processor.image_processor, picture.size)


def qwen_grid(picture: Picture) -> Layout:
    """Qwen-VL and its like: the image resized to whole merged patches, row-major."""
    _, rows, columns = picture.inputs["image_grid_thw"][0].tolist()
    merge = picture.processor.image_processor.merge_size
    rows, columns = rows // merge, columns // merge
    return one_block(picture, rows, columns, grid_cells(rows, columns))


def pooled_grid(picture: Picture) -> Layout:
    """Gemma 4: the image resized to whole pooled patches, whose places come with it."""
    places = picture.inputs["image_position_ids"][0]
    columns, rows = (places.amax(0) + 1).tolist()
    pool = picture.config.vision_config.pooling_kernel_size
    rows, columns = rows // pool, columns // pool
    return one_block(picture, rows, columns, grid_cells(rows, columns))


def resized_grid(picture: Picture) -> Layout:
    """Pixtral's vision tower: rows of patches, each followed by a break token."""
    height, width = picture.inputs["image_sizes"][0].tolist()
    merge = getattr(picture.config, "spatial_merge_size", 1)
    patch = pair(picture.config.vision_config.patch_size)[0] * merge
    rows, columns = height // patch, width // patch
    return one_block(picture, rows, columns, grid_cells(rows, columns))


def pan_and_scan(picture: Picture) -> Layout:
    """Gemma 3: the squashed image, then as many crops of its longer side as pan-and-scan makes."""
    number = picture.config.mm_tokens_per_image
    side = round(number**0.5)
    parts = [(Block("whole", "whole image", side, side), grid_cells(side, side))]
    crops = picture.number // number - 1
    width, height = picture.size
    length = max(width, height)
    share = -(-length // max(crops, 1)) / length
    for i in range(crops):
        along = (i * share, min((i + 1) * share, 1.0))
        region = (
            (along[0], 0.0, along[1], 1.0) if width >= height else (0.0, along[0], 1.0, along[1])
        )
        block = Block("crop", f"crop {i + 1} of {crops}", side, side, region)
        parts.append((block, grid_cells(side, side, region)))
    return make_layout(parts, picture.number, picture.config.model_type)


def seen_share(vision_config: Any) -> tuple[float, float]:
    """Share of width and height that whole patches cover; what is left at the end is lost."""
    height, width = pair(vision_config.image_size)
    patch_height, patch_width = pair(vision_config.patch_size)
    return (
        width // patch_width * patch_width / width,
        height // patch_height * patch_height / height,
    )


def one_block(picture: Picture, rows: int, columns: int, cells: np.ndarray) -> Layout:
    """A layout of a single grid over the whole image."""
    block = Block("whole", "whole image", rows, columns)
    return make_layout([(block, cells)], picture.number, picture.config.model_type)


def before_processing(cells: np.ndarray, image_processor: Any, size: tuple[int, int]) -> np.ndarray:
    """Cells on the processed square -> cells on the original: undoes crop, resize and padding."""
    # Padded to a square before anything else.
    is_padded = getattr(image_processor, "do_pad", False)
    if getattr(image_processor, "do_center_crop", False):
        resized = _resized(image_processor, (max(size), max(size)) if is_padded else size)
        crop = np.array(size_of(image_processor.crop_size))
        corner = (resized - crop) // 2
        cells = (cells * np.tile(crop, 2) + np.tile(corner, 2)) / np.tile(resized, 2)
    return out_of_square(cells, size) if is_padded else cells


def out_of_square(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cells on a square in whose middle an image lies -> cells on that image."""
    width, height = size
    square = max(size)
    corner = [(square - width) // 2, (square - height) // 2]
    return (cells * square - corner * 2) / np.array([*size] * 2)


def _resized(image_processor: Any, size: tuple[int, int]) -> np.ndarray:
    """Width and height before the centre crop."""
    edge = getattr(image_processor.size, "shortest_edge", None)
    if edge is None:
        return np.array(size_of(image_processor.size))
    short, long = min(size), max(size)
    longer = int(edge * long / short)
    return np.array([edge, longer] if size[0] <= size[1] else [longer, edge])


def refuses_nothing(processor: Any, size: tuple[int, int]) -> str | None:  # noqa: ARG001
    """Images of any shape are squashed or tiled."""
    return None


def qwen_refuses(processor: Any, size: tuple[int, int]) -> str | None:  # noqa: ARG001
    """What Qwen's image processor refuses."""
    return _TOO_NARROW if max(size) > _MAX_RATIO * min(size) else None


def llava_refuses(processor: Any, size: tuple[int, int]) -> str | None:
    """Very narrow images where the short edge sets the scale and a square is cropped out."""
    image_processor = processor.image_processor
    if hasattr(processor, "spatial_merge_size"):
        return pixtral_refuses(processor, size)
    is_cropped = getattr(image_processor, "do_center_crop", False)
    is_cropped = is_cropped and not getattr(image_processor, "do_pad", False)
    by_short_edge = getattr(image_processor.size, "shortest_edge", None) is not None
    return qwen_refuses(processor, size) if is_cropped and by_short_edge else None


def pixtral_refuses(processor: Any, size: tuple[int, int]) -> str | None:
    """Images that would be scaled to nothing, or to a single token, which the model cannot take."""
    longest = processor.image_processor.size["longest_edge"]
    if max(size) > longest * min(size):
        return _TOO_NARROW
    is_single = max(size) <= processor.patch_size * processor.spatial_merge_size
    return "is smaller than one token of this model: enlarge it" if is_single else None
