"""Other images beside the picture, or a video whose frames they are. Knows nothing about Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from vif.errors import InputError
from vif.inputs.images import open_image
from vif.inputs.video import is_video, read_frames
from vif.ui.state.form import FRAMES, MOST_BESIDE


@dataclass(frozen=True)
class Beside:
    """What was put beside the picture.

    Attributes:
        most: How many images there are with the picture; 1 if nothing was put beside it.
        number: Which of them is the picture, from 1.
        seconds: When each frame of a video is shown; empty for images.
        picture: The frame that is asked about; None for images.
    """

    most: int = 1
    number: int = 1
    seconds: tuple[float, ...] = ()
    picture: Image.Image | None = None


def taken(paths: Sequence[str] | None) -> Beside:
    """Looks at files that were put beside the picture.

    Raises:
        InputError: If they are neither images nor one video, or too many.
    """
    paths = list(paths or ())
    if not paths:
        return Beside()
    videos = sum(is_video(path) for path in paths)
    if videos and len(paths) > 1:
        raise InputError("Give either other images or one video: take the rest away.")
    if videos:
        return frame_of(paths[0], None)
    if len(paths) > MOST_BESIDE:
        raise InputError(
            f"{len(paths)} other images were given, expected at most {MOST_BESIDE}: take some away."
        )
    for path in paths:
        open_image(path)
    return Beside(len(paths) + 1)


def frame_of(path: str, number: int | None) -> Beside:
    """One frame of a video, from 1; the one in the middle by default.

    Raises:
        InputError: If the video cannot be read.
    """
    frames = read_frames(path, FRAMES)
    number = len(frames) // 2 + 1 if number is None else min(max(number, 1), len(frames))
    seconds = tuple(frame.seconds for frame in frames)
    return Beside(len(frames), number, seconds, frames[number - 1].image)
