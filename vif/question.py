"""A question about an image, as the page, commands, probes and benchmarks use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from vif.errors import InputError
from vif.inputs.boxes import Box, as_box, box_shares, check_boxes, mask_shares
from vif.inputs.images import ImageSource, open_image

MOST_IMAGES = 32

# Boxes, a painted mask (H, W), or one weight per image token (N,).
Place = Sequence[Box] | np.ndarray


@dataclass(frozen=True, eq=False)
class Question:
    """A question about an image, and what is known about the place of its answer.

    Attributes:
        image: Path, bytes, PIL image or array.
        text: What to ask, at most 2,000 characters.
        context: Unrelated text to put before the question.
        boxes: Where the answer is, (x0, y0, x1, y1) in [0, 1] image coordinates; None if
            unknown, empty if there is no such place. Only ``"oracle"`` and metrics read it.
        look: Where a person wants the model to look, for ``"look"``: boxes as above, a painted
            mask (H, W) over the image, or one weight per image token (N,).
        answer: The right answer; empty if it is not known. No method reads it.
        others: Other images that the model is shown too, such as the other frames of a video. Maps
            are of `image` alone, and methods steer to it.
        place: How many of the others come before the image.
    """

    image: ImageSource
    text: str
    context: str = ""
    boxes: Sequence[Box] | None = None
    look: Place | None = None
    answer: str = ""
    others: Sequence[ImageSource] = ()
    place: int = 0

    @classmethod
    def among(
        cls,
        images: Sequence[ImageSource],
        chosen: int,
        text: str,
        context: str = "",
        **known: Any,
    ) -> Question:
        """Asks about one of several images, which keep their order.

        Args:
            images: All of them.
            chosen: Index of the image that is asked about, from 0.
            text: What to ask.
            context: Unrelated text to put before the question.
            **known: Other fields of the question.

        Raises:
            InputError: If there is no such image.
        """
        if not 0 <= chosen < len(images):
            raise InputError(
                f"Image {chosen} of {len(images)} was chosen: expected a number from 0 to "
                f"{len(images) - 1}."
            )
        others = (*images[:chosen], *images[chosen + 1 :])
        return cls(images[chosen], text, context, others=others, place=chosen, **known)

    def opened(self) -> Question:
        """The same question with its images as upright RGB.

        Raises:
            InputError: If an image cannot be read, there are too many, or a box does not lie on
                the image.
        """
        if self.boxes is not None:
            check_boxes(self.boxes)
        if len(self.others) >= MOST_IMAGES:
            raise InputError(
                f"{len(self.others) + 1} images were given, expected at most {MOST_IMAGES}: "
                "remove some."
            )
        if not 0 <= self.place <= len(self.others):
            raise InputError(
                f"The image was placed after {self.place} of {len(self.others)} other images: "
                f"expected a number from 0 to {len(self.others)}."
            )
        others = tuple(open_image(other) for other in self.others)
        return replace(self, image=open_image(self.image), others=others)

    @property
    def picture(self) -> Image.Image:
        """The image of an opened question."""
        if not isinstance(self.image, Image.Image):
            raise TypeError("The image is not open yet: use what `opened` returns.")
        return self.image

    @property
    def beside(self) -> tuple[Image.Image, ...]:
        """The other images of an opened question."""
        others = tuple(other for other in self.others if isinstance(other, Image.Image))
        if len(others) != len(self.others):
            raise TypeError("The other images are not open yet: use what `opened` returns.")
        return others


def place_weights(cells: np.ndarray, place: Place | None) -> np.ndarray:
    """A place as weights of image tokens.

    Args:
        cells: Where every token lies, (N, 4) as (x0, y0, x1, y1) in [0, 1] image coordinates.
        place: See `Question.look`; None is nowhere.

    Returns:
        (N,), sums to 1, or to 0 if the place touches no token.

    Raises:
        InputError: If the place is neither boxes on the image, a mask, nor a weight per token.
    """
    if not isinstance(place, np.ndarray) or place.shape[1:] == (4,):
        boxes = () if place is None else [as_box(box) for box in place]
        check_boxes(boxes)
        return box_shares(cells, boxes)
    if place.ndim == 2:
        return mask_shares(cells, place)
    if place.shape != (len(cells),):
        raise InputError(
            f"The weights of the place have shape {place.shape}, but the image has {len(cells)} "
            "tokens: give one weight per token, boxes, or a mask (H, W)."
        )
    return place / max(place.sum(), 1e-12)
