"""Model families: which tokens are the image, and where each lies on it. One table row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vif.errors import InputError


@dataclass(frozen=True)
class Layout:
    """Where the image tokens of one prompt lie on the original image.

    Attributes:
        cells: Rectangle (x0, y0, x1, y1) of every token in sequence order, (N, 4), in [0, 1]
            image coordinates; NaN for a token that is not on the image.
        blocks: Which grid a token belongs to, (N,); 0 is the whole image.
    """

    cells: np.ndarray
    blocks: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """Token centres (x, y), (N, 2)."""
        return (self.cells[:, :2] + self.cells[:, 2:]) / 2


@dataclass(frozen=True)
class Family:
    """One model family.

    Attributes:
        model_type: ``config.model_type``.
        layout: From (model configuration, processor, image size (width, height), number of image
            tokens) to a `Layout`.
    """

    model_type: str
    layout: Callable[[Any, Any, tuple[int, int], int], Layout]


def find(model_type: str) -> Family:
    """The family of a model.

    Raises:
        InputError: If the family is unknown; nothing is guessed.
    """
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    known = ", ".join(family.model_type for family in FAMILIES)
    raise InputError(
        f"Models of type {model_type!r} are not supported yet: expected one of {known}."
    )


def grid_cells(
    rows: int, columns: int, region: tuple[float, float, float, float] = (0, 0, 1, 1)
) -> np.ndarray:
    """Cells of a regular grid over a region of the image, (rows * columns, 4), row-major."""
    x = np.linspace(region[0], region[2], columns + 1)
    y = np.linspace(region[1], region[3], rows + 1)
    left, top = np.meshgrid(x[:-1], y[:-1])
    right, bottom = np.meshgrid(x[1:], y[1:])
    return np.stack([left, top, right, bottom], -1).reshape(-1, 4)


def _llava(_: Any, processor: Any, size: tuple[int, int], number: int) -> Layout:
    """Square grid over what the image processor keeps: all of it, or a centred crop."""
    side = round(number**0.5)
    if side * side != number:
        raise InputError(
            f"This LLaVA model makes {number} image tokens, expected a square number of one image."
        )
    region = _centre_crop(processor.image_processor, size)
    return Layout(grid_cells(side, side, region), np.zeros(number, int))


def _centre_crop(image_processor: Any, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Region of the image that survives "short edge to n, then crop n x n", (x0, y0, x1, y1)."""
    if not getattr(image_processor, "do_center_crop", False):
        return (0, 0, 1, 1)
    target, crop = image_processor.size, image_processor.crop_size
    width, height = size
    if (edge := target.get("shortest_edge")) is not None:
        ratio = edge / min(width, height)
        width, height = width * ratio, height * ratio
    else:
        width, height = target["width"], target["height"]
    x, y = crop["width"] / width / 2, crop["height"] / height / 2
    return (0.5 - x, 0.5 - y, 0.5 + x, 0.5 + y)


FAMILIES = (Family("llava", _llava),)
