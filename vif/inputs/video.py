"""Frames of a video as images, evenly spaced in time.

Knows nothing about models: to them the frames are several images.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vif.errors import InputError
from vif.inputs.images import MAX_SIDE, open_image

MOST_FRAMES = 32
# Every frame up to the last one wanted has to be decoded: ten minutes at 30 frames a second.
MOST_DECODED = 18_000
# How MP4 and QuickTime, WebM and Matroska, and AVI begin. Named, because FFmpeg would also read
# playlists, which can name other files.
_BEGINNINGS = ((4, b"ftyp"), (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "))
_CURE = "save it as MP4 or WebM and try again"


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video with its time.

    Attributes:
        image: Upright RGB.
        seconds: When it is shown, from the beginning.
    """

    image: Image.Image
    seconds: float


def read_frames(path: str | Path, count: int) -> list[VideoFrame]:
    """Frames from the middles of `count` equal parts of a video.

    Args:
        path: An MP4, QuickTime, WebM, Matroska or AVI file.
        count: How many, 1 to `MOST_FRAMES`; a shorter video gives each of its frames once.

    Raises:
        InputError: If it is no such file, cannot be decoded, or is too long or too large.
    """
    if not 1 <= count <= MOST_FRAMES:
        raise InputError(f"{count} frames were asked for, expected 1 to {MOST_FRAMES}: change it.")
    name = _checked(Path(path))
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise InputError(f"{name} cannot be decoded: {_CURE}.")
        length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        sides = [int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        if length < 1 and max(sides) <= MAX_SIDE:
            # Recordings of a browser do not say how long they are.
            length = _counted(capture)
            capture.open(str(path))
        if length > MOST_DECODED or max(sides) > MAX_SIDE:
            raise InputError(
                f"{name} has {length:,} frames of {sides[0]:,} x {sides[1]:,} pixels, expected at "
                f"most {MOST_DECODED:,} frames and no side over {MAX_SIDE:,}: cut or shrink it."
            )
        wanted = np.unique((np.arange(count) + 0.5) * length // count).astype(int).tolist()
        frames = _decoded(capture, wanted)
    finally:
        capture.release()
    if not frames:
        raise InputError(f"{name} is damaged or cut off and cannot be decoded: {_CURE}.")
    return frames


def is_video(path: str | Path) -> bool:
    """Whether a file starts like the formats that `read_frames` accepts.

    Raises:
        OSError: If it cannot be read.
    """
    with Path(path).open("rb") as file:
        head = file.read(12)
    return any(head[start : start + len(mark)] == mark for start, mark in _BEGINNINGS)


def _checked(path: Path) -> str:
    """How messages call a file that starts like a video."""
    name = repr(path.name)
    if not path.is_file():
        raise InputError(f"There is no file {name}: check the path.")
    if not is_video(path):
        raise InputError(f"{name} is not a video in a known format: {_CURE}.")
    return name


def _counted(capture: cv2.VideoCapture) -> int:
    """Reads to the end and tells how many frames there were, at most `MOST_DECODED` + 1."""
    return sum(1 for _ in takewhile(lambda _: capture.grab(), range(MOST_DECODED + 1)))


def _decoded(capture: cv2.VideoCapture, wanted: list[int]) -> list[VideoFrame]:
    """The frames of these numbers; fewer where the file ends before it says."""
    frames: list[VideoFrame] = []
    for number in range(wanted[-1] + 1):
        # Seeking would land on another frame in some formats.
        if not capture.grab():
            break
        if number == wanted[len(frames)]:
            done, pixels = capture.retrieve()
            if not done:
                break
            image = open_image(np.ascontiguousarray(pixels[..., ::-1]))
            frames.append(VideoFrame(image, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000))
    return frames
