"""Marks on the picture: boxes and brush strokes. Independent of Gradio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vif.errors import InputError
from vif.inputs.boxes import Box

MASK_SIDE = 384
_MOST_SHAPES, _MOST_POINTS = 200, 20_000
_LEAST_SIDE = 1e-3


@dataclass(frozen=True)
class Stroke:
    """One movement of the brush.

    Attributes:
        radius: In shares of the picture's longer side.
        points: (x, y) in [0, 1] image coordinates.
    """

    radius: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Drawing:
    """Everything that is marked; an empty one by default.

    Attributes:
        boxes: (x0, y0, x1, y1) in [0, 1] image coordinates.
        strokes: Painted with the brush.
        ratio: Width of the picture divided by its height.
    """

    boxes: tuple[Box, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    ratio: float = 1.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is marked."""
        return not self.boxes and not self.strokes

    @classmethod
    def read(cls, data: Any) -> Drawing:
        """Reads what the browser sent: ``{"boxes", "strokes": [{"r", "points"}], "ratio"}``.

        Raises:
            InputError: If it is something else, or too much.
        """
        try:
            ratio = float(data["ratio"])
            boxes = [_box(box) for box in data["boxes"]]
            strokes = [_stroke(stroke) for stroke in data["strokes"]]
        except (TypeError, ValueError, KeyError) as error:
            raise InputError("The drawing is malformed: clear it and draw again.") from error
        points = sum(len(stroke.points) for stroke in strokes)
        if len(boxes) + len(strokes) > _MOST_SHAPES or points > _MOST_POINTS:
            raise InputError("The drawing is too large: clear it and mark one place.")
        boxes = [b for b in boxes if b[2] - b[0] > _LEAST_SIDE and b[3] - b[1] > _LEAST_SIDE]
        return cls(tuple(boxes), tuple(strokes), min(max(ratio, 0.02), 50.0))

    def as_json(self) -> dict[str, Any]:
        """Returns the marks as JSON values, as `read` takes them."""
        strokes = [{"r": stroke.radius, "points": stroke.points} for stroke in self.strokes]
        return {"boxes": self.boxes, "strokes": strokes, "ratio": self.ratio}

    def as_shapes(self) -> list[dict[str, Any]]:
        """Returns what the browser draws, one shape after the other."""
        return [*({"box": box} for box in self.boxes), *self.as_json()["strokes"]]

    def place(self) -> Sequence[Box] | np.ndarray:
        """Returns the place as a session's ``look``: exact boxes, or a mask (H, W) if painted."""
        return self.mask() if self.strokes else self.boxes

    def mask(self) -> np.ndarray:
        """Returns 1 where something is marked and 0 elsewhere, (H, W) float32."""
        mask = region(self.boxes, self.ratio)
        height, width = mask.shape
        for stroke in self.strokes:
            line = np.rint(np.array(stroke.points) * [width, height]).astype(np.int32)
            radius = max(1, round(stroke.radius * max(width, height)))
            cv2.polylines(mask, [line[:, None]], False, 1.0, 2 * radius)
            for point in (line[0], line[-1]):
                cv2.circle(mask, [int(v) for v in point], radius, 1.0, -1)
        return mask


@dataclass(frozen=True)
class Score:
    """How well a guess matches the true place.

    Attributes:
        overlap: Intersection over union of the two regions, in [0, 1].
        hits: Whether the centre of what was marked lies in a true box (the pointing game).
    """

    overlap: float
    hits: bool


def score(drawing: Drawing, boxes: Sequence[Box]) -> Score:
    """Compares what was marked with the true boxes.

    Raises:
        InputError: If nothing is marked.
    """
    if drawing.is_empty:
        raise InputError("Nothing is marked yet: draw a box or paint where the answer lies.")
    guess, truth = drawing.mask() > 0, region(boxes, drawing.ratio) > 0
    union = int((guess | truth).sum())
    y, x = (float(axis.mean()) for axis in np.nonzero(guess))
    hits = bool(truth[round(y), round(x)])
    return Score(int((guess & truth).sum()) / max(union, 1), hits)


def region(boxes: Sequence[Box], ratio: float) -> np.ndarray:
    """Returns 1 inside the boxes and 0 elsewhere, (H, W) float32, longer side `MASK_SIDE`."""
    width = MASK_SIDE if ratio >= 1 else max(1, round(MASK_SIDE * ratio))
    height = MASK_SIDE if ratio <= 1 else max(1, round(MASK_SIDE / ratio))
    mask = np.zeros((height, width), np.float32)
    for x0, y0, x1, y1 in boxes:
        left, top = math.floor(x0 * width), math.floor(y0 * height)
        mask[top : max(top + 1, round(y1 * height)), left : max(left + 1, round(x1 * width))] = 1
    return mask


def _box(values: Any) -> Box:
    x0, y0, x1, y1 = (_share(value) for value in values)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _stroke(data: Any) -> Stroke:
    points = tuple((_share(x), _share(y)) for x, y in data["points"])
    if not points:
        raise ValueError("A stroke has no points.")
    return Stroke(min(max(_share(data["r"]), 0.005), 0.5), points)


def _share(value: Any) -> float:
    """A number, clipped to [0, 1]."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("A coordinate is not finite.")
    return min(max(number, 0.0), 1.0)
