"""How models that see one square handle pictures that are not square.

LLaVA-1.5 was trained on pictures padded to a square (``image_aspect_ratio=pad``), while its
processor in transformers scales the short side and crops the rest away. The layout follows the
processor: what is cropped is drawn as unseen, what is padding lies on no part of the picture.
"""

from __future__ import annotations

from typing import Any

from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from vif.errors import InputError
from vif.model.families.picture import pair

PAD, CROP = "pad", "crop"
ASPECT_RATIOS = (PAD, CROP)
_KEPT = ("resample", "rescale_factor", "image_mean", "image_std", "do_rescale", "do_normalize")


def set_aspect_ratio(config: Any, processor: Any, how: str) -> None:
    """Makes a processor pad or crop pictures to a square.

    Args:
        config: The model's.
        processor: Its processor, which is changed.
        how: `PAD` with the mean colour, or `CROP` the middle.

    Raises:
        InputError: If the model does not look at one square, or `how` is unknown.
    """
    if how not in ASPECT_RATIOS:
        raise InputError(f"The aspect ratio is {how!r}, expected {' or '.join(ASPECT_RATIOS)}.")
    vision: Any = getattr(config, "vision_config", None)
    if config.model_type != "llava" or vision.model_type == "pixtral":
        raise InputError(
            f"An aspect ratio can be set for models of type 'llava' that look at one square; "
            f"those of type {config.model_type!r} take pictures of any shape: leave it out."
        )
    height, width = pair(vision.image_size)
    kept = {name: getattr(processor.image_processor, name, None) for name in _KEPT}
    processor.image_processor = LlavaImageProcessorPil(
        **{name: value for name, value in kept.items() if value is not None},
        size={"shortest_edge": min(height, width)},
        crop_size={"height": height, "width": width},
        do_pad=how == PAD,
    )
