"""Heatmaps and overlays: arrays in, images out.

Knows nothing about models, pages or files. Coordinates are in [0, 1] of the image, images are
(H, W, 3) uint8 RGB, fields are (H, W) floats with NaN where no token saw the picture.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

PALETTES = {
    "viridis": cv2.COLORMAP_VIRIDIS,
    "magma": cv2.COLORMAP_MAGMA,
    "cividis": cv2.COLORMAP_CIVIDIS,
}
_UNSEEN_PERIOD = 8
# Which tokens are drawn: the look at the whole image, its parts, or all on top of each other.
SCALES = ("whole", "tiles", "all")


def pick_map(
    rows: np.ndarray,
    token: int,
    layer: int | None = None,
    head: int | str = "mean",
    normalise: bool = False,
) -> np.ndarray:
    """Returns the attention of one answer token as one number per image token.

    Args:
        rows: Attention rows, (T, L, H, N), a row sums to at most 1.
        token: Index of the answer token, 0-based.
        layer: Layer, 0-based, or None for the mean of all layers that have attention.
        head: Head, 0-based, or ``"mean"`` / ``"max"`` over heads.
        normalise: Divide by the sum, so that the map says where and not how much.

    Returns:
        Share of the row per image token, (N,), or a distribution that sums to 1.

    Raises:
        ValueError: If `head` is neither an index nor ``"mean"`` nor ``"max"``.
    """
    attends = ~np.isnan(rows[token]).any((1, 2))
    picked = rows[token][attends].mean(0) if layer is None else rows[token, layer]
    if head == "mean":
        values = picked.mean(0)
    elif head == "max":
        values = picked.max(0)
    elif isinstance(head, int):
        values = picked[head]
    else:
        raise ValueError(f'head is {head!r}: expected an index, "mean" or "max".')
    values = values.astype(np.float64)
    total = values.sum()
    return values / total if normalise and total > 0 else values


def paint(values: np.ndarray, cells: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Lays one value per token on the pixels of its cell.

    Args:
        values: One number per token, (N,).
        cells: Rectangles (x0, y0, x1, y1), (N, 4), in [0, 1]; NaN rows are off the image.
        shape: Height and width in pixels.

    Returns:
        Field, (H, W), float32; NaN where no cell lies.
    """
    height, width = shape
    field = np.full(shape, np.nan, np.float32)
    on_image = np.isfinite(cells).all(1)
    # Rounding both edges of neighbours to the same pixel leaves neither gap nor overlap.
    edges = np.rint(cells[on_image] * [width, height, width, height]).astype(int)
    for value, (x0, y0, x1, y1) in zip(values[on_image], edges, strict=True):
        field[max(y0, 0) : y1, max(x0, 0) : x1] = value
    return field


def paint_scale(
    values: np.ndarray, cells: np.ndarray, blocks: np.ndarray, scale: str, shape: tuple[int, int]
) -> np.ndarray:
    """Lays the tokens of one scale on their pixels, or adds all scales up.

    Where scales are added, a token counts by area: its value is spread over its own cell and
    measured per median cell of the whole image, so that finer tokens are not drawn too weak.

    Args:
        values: One number per token, (N,).
        cells: See `paint`.
        blocks: Which grid a token belongs to, (N,); 0 is the whole image.
        scale: One of `SCALES`.
        shape: Height and width in pixels.

    Returns:
        Field, (H, W), float32; NaN where no cell of the scale lies.

    Raises:
        ValueError: If the scale is unknown.
    """
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}: expected one of {SCALES}.")
    if scale != "all":
        is_drawn = (blocks > 0) == (scale == "tiles")
        return paint(values[is_drawn], cells[is_drawn], shape)
    area = (cells[:, 2:] - cells[:, :2]).prod(1)
    unit = area[(blocks == 0) & np.isfinite(area)]
    density = values * (np.median(unit) if len(unit) else 1.0) / area
    total = np.full(shape, np.nan, np.float32)
    for block in np.unique(blocks):
        field = paint(density[blocks == block], cells[blocks == block], shape)
        total = np.where(np.isnan(field), total, np.nan_to_num(total) + field)
    return total


def grey_out(image: np.ndarray, regions: Iterable[tuple[float, float, float, float]]) -> np.ndarray:
    """Returns the picture with regions drawn as unseen, (H, W, 3) uint8.

    Args:
        image: Picture, (H, W, 3), uint8.
        regions: Rectangles (x0, y0, x1, y1), in [0, 1].
    """
    cells = np.array(list(regions), float).reshape(-1, 4)
    unseen = ~np.isnan(paint(np.ones(len(cells)), cells, image.shape[:2]))
    return _hatched(image.astype(np.float32), image, unseen)


def overlay(
    image: np.ndarray, field: np.ndarray, top: float, palette: str, opacity: float
) -> np.ndarray:
    """Returns the picture with a heatmap over it.

    The picture loses its own colours as the map gains opacity, so that colour means attention.

    Args:
        image: Picture, (H, W, 3), uint8.
        field: Values, (H, W); NaN is drawn hatched, as unseen.
        top: Value of the last colour, > 0; the first colour is 0.
        palette: A key of `PALETTES`.
        opacity: 0 (picture only) to 1 (map only).

    Returns:
        Picture, (H, W, 3), uint8.
    """
    share = np.clip(np.nan_to_num(field) / max(top, 1e-12), 0, 1)
    heat = _table(palette)[np.rint(share * 255).astype(np.uint8)]
    base = _greyed(image, opacity)
    return _hatched(base * (1 - opacity) + heat * opacity, image, np.isnan(field))


def colour_bar(image: np.ndarray, palette: str, opacity: float) -> np.ndarray:
    """Returns the colours of `overlay` from 0 to the top, as they look on this picture.

    Args:
        image: Picture, (H, W, 3), uint8; its mean tone stands for it.
        palette: A key of `PALETTES`.
        opacity: That of the map.

    Returns:
        Strip, (1, 256, 3), uint8, left to right.
    """
    return overlay(_plain(image, 256), np.linspace(0, 1, 256)[None], 1.0, palette, opacity)


def shrink(image: Image.Image | np.ndarray, side: int) -> np.ndarray:
    """Returns the picture scaled so that its longer side has `side` pixels, (H, W, 3) uint8."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))


def data_url(image: np.ndarray, quality: int = 88) -> str:
    """Returns the picture as a ``data:`` address; short strips as PNG, all else as JPEG."""
    is_strip = image.shape[0] == 1
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    if is_strip:
        picture.save(buffer, "PNG")
    else:
        # No chroma subsampling: cell edges of a heatmap are colour edges.
        picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    kind = "png" if is_strip else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


@lru_cache(maxsize=8)
def _table(palette: str) -> np.ndarray:
    """The 256 colours of a palette, (256, 3) uint8 RGB."""
    if palette not in PALETTES:
        raise ValueError(f"palette is {palette!r}: expected one of {sorted(PALETTES)}.")
    ramp = np.arange(256, dtype=np.uint8)[None]
    return cv2.applyColorMap(ramp, PALETTES[palette])[0, :, ::-1].copy()


def _plain(image: np.ndarray, width: int) -> np.ndarray:
    """A strip in the mean tone of a picture, (1, width, 3) uint8."""
    return np.full((1, width, 3), round(float(image.mean())), np.uint8)


def _greyed(image: np.ndarray, amount: float) -> np.ndarray:
    """The picture with a share `amount` of its colour removed, float32."""
    colour = image.astype(np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return colour * (1 - amount) + grey * amount


def _hatched(mixed: np.ndarray, image: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Greys out and hatches pixels that no token covers: not even the colour of zero."""
    if unseen.any():
        y, x = np.nonzero(unseen)
        stripe = np.where((x + y) % _UNSEEN_PERIOD < 2, 150.0, 90.0)[:, None]
        mixed[y, x] = 0.35 * _greyed(image, 1.0)[y, x] + 0.65 * stripe
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
