"""What is known about one image when its tokens are to be placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Picture:
    """One image as one model got it.

    Attributes:
        config: The model's configuration.
        processor: Its processor.
        size: Original width and height in pixels.
        inputs: What the processor made of it.
        number: Image tokens in the prompt.
    """

    config: Any
    processor: Any
    size: tuple[int, int]
    inputs: dict[str, torch.Tensor]
    number: int


def pair(value: int | list[int] | tuple[int, int]) -> tuple[int, int]:
    """A height and a width, given as one number or two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def size_of(size: Any) -> tuple[int, int]:
    """Width and height of an image processor's size, which may be one edge of a square."""
    if getattr(size, "height", None) is not None:
        return size.width, size.height
    return size.shortest_edge, size.shortest_edge
