"""Opens an image from any source as upright 8-bit RGB.

Knows nothing about models: resizing to what a vision tower wants is the processor's work.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from vif.errors import InputError

# The second where decoding keeps more than one copy of a picture: a small file must not fill the
# memory. WebP takes 15 bytes a pixel.
MAX_PIXELS, MAX_PIXELS_COPIED = 100_000_000, 40_000_000
MAX_SIDE = 4096

ImageSource = str | Path | bytes | Image.Image | np.ndarray

# Named, because Pillow would otherwise also try formats that start other programs (EPS).
_FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_SAVE_AS = "save it as PNG or JPEG and try again"

_LANCZOS = Image.Resampling.LANCZOS
# Formats that keep the way the camera was held where a smaller copy keeps it too.
_SHRUNK_FIRST = ("JPEG", "PNG", "WEBP")
_DECODED_ONCE = ("JPEG", "PNG")
_PLAIN_MODES = ("L", "RGB", "RGBA")
# Images over 16 megapixels are decoded one after the other, whoever sent them.
_LARGE = threading.Lock()

# Pillow's decoders raise any of these on damaged data.
_DECODE_ERRORS = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def open_image(source: ImageSource) -> Image.Image:
    """Returns the image upright, in RGB, 8 bits per channel, without metadata.

    Transparency is laid on white, 16-bit grey is scaled to 8 bits, of an animation the first frame
    counts, and an image with a side over ``MAX_SIDE`` is shrunk to it, its aspect ratio kept.

    Args:
        source: A file's path, a file's bytes, a Pillow image, or an array: (H, W), (H, W, 3) or
            (H, W, 4), uint8, uint16, bool, or float in [0, 1]. It is not changed.

    Returns:
        A new image in mode ``"RGB"``, at least 1 x 1, no side over ``MAX_SIDE``.

    Raises:
        InputError: The source is none of these, is damaged, is empty, or has more than
            ``MAX_PIXELS`` pixels as an array, JPEG or PNG, ``MAX_PIXELS_COPIED`` otherwise.
    """
    with _quiet_pillow():
        if isinstance(source, np.ndarray):
            return _finish(_from_array(source), "The array")
        if isinstance(source, Image.Image):
            return _finish(source, "The image")
        if isinstance(source, bytes | bytearray | memoryview):
            return _from_stream(io.BytesIO(source), f"The data ({len(source):,} bytes)")
        if isinstance(source, str | Path):
            return _from_path(source)
    raise InputError(
        f"An image was expected, as a path, bytes, a Pillow image or an array, and not "
        f"{type(source).__name__}: choose an image first."
    )


def is_animated(path: str | Path) -> bool:
    """Whether a file that `open_image` opens holds more than one image."""
    with _quiet_pillow(), Image.open(path, formats=_FORMATS) as image:
        return bool(getattr(image, "is_animated", False))


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Silences Pillow's warnings: what they warn about is either harmless here or refused."""
    with warnings.catch_warnings():
        # Filters belong to the process, and two threads here at once can leave this one behind. So
        # it must be harmless: not "error", and nothing outside Pillow.
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turns whatever Pillow raises inside into one sentence about the image called ``name``."""
    try:
        yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image in a known format: {_SAVE_AS}.") from error
    except _DECODE_ERRORS as error:
        raise InputError(
            f"{name} is damaged or cut off and cannot be decoded: {_SAVE_AS}."
        ) from error


def _from_path(source: str | Path) -> Image.Image:
    path = Path(source)
    full, name = _quoted(str(source)), _quoted(path.name)
    try:
        if path.is_dir():
            raise InputError(f"{full} is a folder: give the path of one image in it.")
        if not path.is_file():
            raise InputError(f"There is no file {full}: check the path.")
        with path.open("rb") as stream:
            return _from_stream(stream, name)
    except OSError as error:
        raise InputError(
            f"{full} cannot be read ({error.strerror}): check the path and its permissions."
        ) from error


def _quoted(name: str) -> str:
    return f"'{name}'" if len(name) <= 80 else f"'{name[:30]}...{name[-30:]}'"


def _from_stream(stream: BinaryIO, name: str) -> Image.Image:
    with _explained(name):
        image = Image.open(stream, formats=_FORMATS)
        # Of a large JPEG the decoder itself leaves out detail; the size is what matters here.
        if image.width * image.height <= MAX_PIXELS:
            image.draft(None, (MAX_SIDE, MAX_SIDE))
        return _finish(image, name)


def _from_array(array: np.ndarray) -> Image.Image:
    shape = " x ".join(map(str, array.shape))
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise InputError(
            f"The array has shape {shape or 'of a single number'}, expected height x width, or "
            "height x width x 3 or 4: reorder its axes."
        )
    if array.size == 0:
        raise InputError(f"The array is empty ({shape}): give one with at least one pixel.")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise _too_large("The array", array.shape[1], array.shape[0])
    return Image.fromarray(np.ascontiguousarray(_to_uint8(array)))


def _to_uint8(array: np.ndarray) -> np.ndarray:
    """Returns the values scaled to 0..255; the range of a dtype is its own, floats have [0, 1]."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind != "f":
        raise InputError(
            f"The array holds {array.dtype}, expected uint8, uint16 or float in 0..1: convert it, "
            "for example with array.astype('uint8')."
        )
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError("The image holds NaN or infinite values, expected 0 to 1: replace them.")
    if low < 0 or high > 1:
        raise InputError(
            f"The image holds floats from {low:g} to {high:g}, expected 0 to 1: rescale them."
        )
    return np.round(array.astype(np.float32) * 255).astype(np.uint8)


def _finish(image: Image.Image, name: str) -> Image.Image:
    """Returns a new RGB image: checked, decoded, upright, small enough, without metadata."""
    width, height = image.size
    if width == 0 or height == 0:
        raise InputError(f"{name} is empty ({width} x {height} pixels): give one with a pixel.")
    is_decoded_once = image.format in _DECODED_ONCE and image.mode in _PLAIN_MODES
    most = MAX_PIXELS if is_decoded_once or image.format is None else MAX_PIXELS_COPIED
    if width * height > most:
        raise _too_large(name, width, height, most)
    with _explained(name), _LARGE if width * height > MAX_SIDE**2 else nullcontext():
        image.load()
        if image.format in _SHRUNK_FIRST and image.mode in _PLAIN_MODES:
            # At once, so that no second copy is ever as large.
            image = _small(image)
        image = _shrunk(_eight_bit(_upright(image)))
        if image.mode == "RGBA":
            canvas = Image.new("RGB", image.size, "white")
            canvas.paste(image, mask=image)
            image = canvas
    image.info.clear()
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Returns a copy turned the way the camera was held, or as stored if that is unreadable."""
    try:
        return ImageOps.exif_transpose(image)
    except _DECODE_ERRORS:
        return image.copy()


def _eight_bit(image: Image.Image) -> Image.Image:
    """Returns the image in mode RGB, or RGBA where something is transparent."""
    if image.mode.startswith("I;16") or image.mode == "F":
        image = Image.fromarray(_to_uint8(np.asarray(image)))
    elif image.mode == "I":
        image = Image.fromarray(_to_uint8(_narrowed(np.asarray(image))))
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Returns 32-bit grey as uint8 or uint16, whichever holds it: files store 16 bits this way."""
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise InputError(
            f"The image holds grey values from {low} to {high}, expected 0 to 65535: {_SAVE_AS}."
        )
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def _small(image: Image.Image) -> Image.Image:
    """The image with no side over `MAX_SIDE`; it is not changed itself."""
    is_large = max(image.size) > MAX_SIDE
    return ImageOps.contain(image, (MAX_SIDE, MAX_SIDE), _LANCZOS) if is_large else image


def _shrunk(image: Image.Image) -> Image.Image:
    if max(image.size) > MAX_SIDE:
        image.thumbnail((MAX_SIDE, MAX_SIDE), _LANCZOS)
    return image


def _too_large(name: str, width: int = 0, height: int = 0, most: int = MAX_PIXELS) -> InputError:
    size = f"is {width:,} x {height:,} pixels" if width else "is far too large"
    return InputError(
        f"{name} {size}, at most {most // 1_000_000} megapixels can be opened: make it smaller"
        f"{'' if most == MAX_PIXELS else ', or save it as JPEG'}."
    )
