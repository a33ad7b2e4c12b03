"""How every family is asked for a box, and how it writes one. One table row each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vif.errors import InputError
from vif.inputs.boxes import Box

# What the numbers count: parts of the processed image, thousandths of it, its pixels, or 1024 bins.
UNIT, THOUSAND, PIXELS, BINS = "unit", "thousand", "pixels", "bins"
_NUMBER = r"-?\d+(?:\.\d+)?"
_GAP = r"[^\d.-]{1,6}"
_FOUR = re.compile(_GAP.join([f"({_NUMBER})"] * 4))
_BIN = re.compile(r"<loc(\d{4})>" * 4)


@dataclass(frozen=True)
class BoxFormat:
    """How one model family writes boxes in its answers.

    Attributes:
        scale: `UNIT`, `THOUSAND`, `PIXELS` (of the resized image) or `BINS`.
        ask: The question, with ``{text}`` for what is looked for.
        y_first: Whether a corner is written as y, x.
    """

    scale: str
    ask: str
    y_first: bool = False

    def parse(self, answer: str) -> Box | None:
        """The first box in an answer, (x0, y0, x1, y1) in this format's own unit, or None."""
        pattern = _BIN if self.scale == BINS else _FOUR
        # A label may hold digits; what follows the key counts.
        _, key, rest = answer.partition("bbox_2d")
        found = pattern.search(rest if key else answer)
        if found is None:
            return None
        a, b, c, d = (float(number) for number in found.groups())
        x0, y0, x1, y1 = (b, a, d, c) if self.y_first else (a, b, c, d)
        return (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


_SENTENCE = "Please provide the bounding box coordinate of the region this sentence describes: "
_LLAVA = BoxFormat(UNIT, _SENTENCE + "{text}")
_LOCATE = "Locate {text}, output its bbox coordinates using JSON format."
_QWEN3 = BoxFormat(THOUSAND, _LOCATE)
# From the models' own documentation and training data. Families that are not here were not trained
# to write boxes in a documented format.
FORMATS = {
    "llava": _LLAVA,
    "llava_next": _LLAVA,
    "llava_onevision": _LLAVA,
    "qwen2_vl": BoxFormat(THOUSAND, "Output the bounding box of {text} in the image."),
    "qwen2_5_vl": BoxFormat(PIXELS, _LOCATE),
    "qwen3_vl": _QWEN3,
    "qwen3_vl_moe": _QWEN3,
    "qwen3_5": _QWEN3,
    "qwen3_5_moe": _QWEN3,
    "internvl": BoxFormat(THOUSAND, _SENTENCE + "<ref>{text}</ref>"),
    "paligemma": BoxFormat(BINS, "detect {text}", y_first=True),
}


def find_format(model_type: str) -> BoxFormat:
    """The format of a family.

    Raises:
        InputError: If it has none.
    """
    if model_type not in FORMATS:
        raise InputError(
            f"Models of type {model_type!r} have no documented format for boxes: use boxes of "
            f"maps with --boxes-from map, or choose one of {', '.join(FORMATS)}."
        )
    return FORMATS[model_type]
