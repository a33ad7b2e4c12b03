"""Unlisted families: their layout is a guess until it is verified on the model."""

from __future__ import annotations

from math import isqrt

from vif.errors import InputError
from vif.model.families.layout import Layout, grid_cells
from vif.model.families.picture import Picture
from vif.model.families.whole import fixed_cells, one_block

# Under which names image processors give the rows and columns of patches, after frames if any.
_GRIDS = ("image_grid_thw", "image_grid_hws", "spatial_shapes")


def guessed_grid(picture: Picture) -> Layout:
    """One grid, row-major: given with the image, or a square over what the processor keeps.

    Raises:
        InputError: If the image tokens make no such grid.
    """
    model_type, number = picture.config.model_type, picture.number
    for name in _GRIDS:
        if name not in picture.inputs:
            continue
        *frames, rows, columns = picture.inputs[name][0].tolist()
        # A token is a square of so many patches.
        merge = isqrt(rows * columns // max(number, 1))
        merged = (rows // max(merge, 1), columns // max(merge, 1))
        if frames in ([], [1]) and merged[0] * merged[1] == number:
            return one_block(picture, *merged, grid_cells(*merged))
    side = isqrt(number)
    if number == 0 or side * side != number:
        raise InputError(
            f"Models of type {model_type!r} are not listed, and {number} image tokens form no "
            "grid that could be recognised, so their places on the image are unknown."
        )
    return one_block(picture, side, side, fixed_cells(picture, side))
