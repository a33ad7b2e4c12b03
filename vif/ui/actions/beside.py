"""Other images beside the picture, or a video. Independent of Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from vif.errors import InputError
from vif.inputs.images import open_image
from vif.inputs.video import is_video, read_frames
from vif.ui.state.form import FRAMES, MOST_BESIDE


@dataclass(frozen=True)
class QuestionImages:
    """All images of a question, of which one is the picture.

    Attributes:
        count: How many there are; 1 if nothing was put beside the picture.
        number: Which of them is the picture, from 1.
        seconds: Time of each frame of a video; empty for images.
        picture: The frame that the question is about; None for images.
    """

    count: int = 1
    number: int = 1
    seconds: tuple[float, ...] = ()
    picture: Image.Image | None = None


def read_beside(paths: Sequence[str] | None) -> QuestionImages:
    """Reads the files that were put beside the picture.

    Raises:
        InputError: If they are neither images nor one video, or too many.
    """
    paths = list(paths or ())
    if not paths:
        return QuestionImages()
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
    return QuestionImages(len(paths) + 1)


def frame_of(path: str, number: int | None) -> QuestionImages:
    """One frame of a video, from 1; the one in the middle by default.

    Raises:
        InputError: If the video cannot be read.
    """
    frames = read_frames(path, FRAMES)
    number = len(frames) // 2 + 1 if number is None else min(max(number, 1), len(frames))
    seconds = tuple(frame.seconds for frame in frames)
    return QuestionImages(len(frames), number, seconds, frames[number - 1].image)
