"""Scenes as pixels: outlines drawn at four times the size, scaled down, on a soft background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vif.scenes.world import COLOURS, IMAGE_SIZE, SPLITS, SceneObject, place_objects

SUPERSAMPLING = 4


@dataclass(frozen=True)
class Scene:
    """A drawn scene: its picture, its objects and their boxes.

    Attributes:
        split: One of `SPLITS`.
        seed: Seed within the split; (split, seed) determines everything.
        objects: What is in it.
    """

    split: str
    seed: int
    objects: tuple[SceneObject, ...]

    @cached_property
    def image(self) -> Image.Image:
        """The scene as an RGB image, 192 x 192."""
        image = _background(_generator(self.split, self.seed, "background"))
        for item in self.objects:
            _paint(image, item)
        return image

    def box(self, item: SceneObject) -> tuple[float, float, float, float]:
        """Bounding box (x0, y0, x1, y1) of an object, in pixels."""
        points = _outline(item)[0]
        low = np.clip(points.min(0), 0, IMAGE_SIZE)
        high = np.clip(points.max(0), 0, IMAGE_SIZE)
        return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def draw_scene(seed: int, split: str = "test", num_objects: int | None = None) -> Scene:
    """Draws a scene; the same arguments always give the same scene.

    Args:
        seed: Any integer >= 0.
        split: One of `SPLITS`; seeds of different splits never share a stream.
        num_objects: 1 to 14, random in 4 to 14 by default.

    Raises:
        ValueError: If the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}: expected one of {', '.join(SPLITS)}.")
    rng = _generator(split, seed, "objects")
    return Scene(split, seed, place_objects(rng, split, num_objects))


def _generator(split: str, seed: int, purpose: str) -> np.random.Generator:
    streams = ("objects", "background")
    return np.random.default_rng([SPLITS.index(split), streams.index(purpose), seed])


def _background(rng: np.random.Generator) -> Image.Image:
    base = rng.uniform(205, 250, 3)
    coarse = base + rng.normal(0, rng.uniform(2, 11), (int(rng.integers(2, 7)), 5, 3))
    pixels = np.clip(coarse, 175, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)


def _paint(image: Image.Image, item: SceneObject) -> None:
    """Blends one object into the image, drawing only the tile that it covers."""
    outline, hole = _outline(item)
    left, top = np.floor(outline.min(0)).astype(int) - 1
    right, bottom = np.ceil(outline.max(0)).astype(int) + 1
    size = (int(right - left) * SUPERSAMPLING, int(bottom - top) * SUPERSAMPLING)
    origin = np.array([left, top])
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    pen.polygon(_to_tile(outline, origin), fill=255)
    if hole is not None:
        pen.polygon(_to_tile(hole, origin), fill=0)
    image.paste(COLOURS[item.colour], (int(left), int(top)), mask.reduce(SUPERSAMPLING))
    if item.glyph is None:
        return
    mask = Image.new("L", size)
    height = item.diameter * IMAGE_SIZE * (0.72 if item.shape in ("circle", "square") else 0.56)
    ImageDraw.Draw(mask).text(
        _to_tile(np.array([[item.x, item.y]]) * IMAGE_SIZE, origin)[0],
        item.glyph,
        font=_font(round(height * SUPERSAMPLING * 1.25)),
        fill=255,
        anchor="mm",
        stroke_width=1,
    )
    ink = (30, 30, 30) if item.colour in ("yellow", "orange", "pink") else (255, 255, 255)
    image.paste(ink, (int(left), int(top)), mask.reduce(SUPERSAMPLING))


def _to_tile(points: np.ndarray, origin: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (points - origin) * SUPERSAMPLING]


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _outline(item: SceneObject) -> tuple[np.ndarray, np.ndarray | None]:
    """Outer polygon and hole of an object in pixels, each (P, 2)."""
    radius = item.diameter / 2 * IMAGE_SIZE
    angle = np.deg2rad(item.angle)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([item.x, item.y]) * IMAGE_SIZE

    def placed(points: np.ndarray) -> np.ndarray:
        return points @ turn.T * radius + centre

    outer, hole = _unit_outlines()[item.shape]
    return placed(outer), None if hole is None else placed(hole)


@lru_cache(maxsize=1)
def _unit_outlines() -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Every shape as a polygon inside the unit circle (y downwards), with its hole."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(t), np.sin(t)], 1)
    star_t = np.arange(10) * np.pi / 5 - np.pi / 2
    star = (
        np.stack([np.cos(star_t), np.sin(star_t)], 1)
        * np.where(np.arange(10) % 2, 0.45, 1)[:, None]
    )
    heart = np.stack(
        [
            16 * np.sin(t) ** 3,
            -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) - 2,
        ],
        1,
    )
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    triangle_t = np.arange(3) * 2 * np.pi / 3 - np.pi / 2
    arm = 0.33
    cross = np.array(
        [
            [-arm, -1], [arm, -1], [arm, -arm], [1, -arm], [1, arm], [arm, arm],
            [arm, 1], [-arm, 1], [-arm, arm], [-1, arm], [-1, -arm], [-arm, -arm],
        ]
    )  # fmt: skip
    outer_t = np.linspace(0.28 * np.pi, 1.72 * np.pi, 40)
    inner_t = outer_t[::-1]
    tip = np.array([np.cos(outer_t[0]), np.sin(outer_t[0])])
    bite_centre, bite_radius = tip[0] + 0.12, np.hypot(0.12, tip[1])
    inner = np.stack([np.cos(inner_t), np.sin(inner_t)], 1) * bite_radius + [bite_centre, 0]
    moon = np.concatenate([np.stack([np.cos(outer_t), np.sin(outer_t)], 1), inner[4:-4]])
    return {
        "circle": (circle, None),
        "square": (corners * 0.86, None),
        "triangle": (np.stack([np.cos(triangle_t), np.sin(triangle_t)], 1) * 1.08, None),
        "star": (star * 1.1, None),
        "heart": (heart / 16.5, None),
        "ring": (circle, circle * 0.56),
        "cross": (cross, None),
        "moon": (moon, None),
    }
