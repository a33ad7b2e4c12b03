"""Padding or cropping to a square: what is seen, and where tokens lie."""

import numpy as np
import pytest
from PIL import Image

from vif.check import tiny_backbone
from vif.check.ramp import ramp_error
from vif.errors import InputError
from vif.model.checkpoints.aspect import set_aspect_ratio


def backbone_with(how, name="llava"):
    backbone = tiny_backbone(name)
    set_aspect_ratio(backbone.model.config, backbone.processor, how)
    return backbone


def layout_of(backbone, size):
    return backbone.encode(Image.new("RGB", size, "red"), "what is this ?").layout


@pytest.mark.parametrize("size", [(100, 50), (50, 100), (90, 70)])
def test_padding_shows_all_and_cropping_the_middle(size):
    padded, cropped = (layout_of(backbone_with(how), size) for how in ("pad", "crop"))
    assert not padded.unseen
    # A token is padding if it sees nothing else.
    assert padded.padding.any() == (max(size) >= 2 * min(size))
    assert not cropped.padding.any()
    assert len(cropped.unseen) == 2
    seen = min(size) / max(size)
    lost = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in cropped.unseen)
    assert lost == pytest.approx(1 - seen, abs=0.02)


@pytest.mark.parametrize("how", ["pad", "crop"])
@pytest.mark.parametrize("size", [(100, 50), (50, 100)])
def test_tokens_lie_where_they_look(how, size):
    backbone = backbone_with(how)
    # Padding is the mean colour; with a mean of 0 the ramp can tell it from the image.
    backbone.processor.image_processor.image_mean = [0.0] * 3
    backbone.processor.image_processor.image_std = [1.0] * 3
    assert ramp_error(backbone, size) < 0.5


def test_the_colours_are_the_processors_own():
    plain, padded = tiny_backbone("llava"), backbone_with("pad")
    square = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))
    one, other = (b.encode(square, "what ?").inputs["pixel_values"] for b in (plain, padded))
    assert np.allclose(one, other, atol=1e-5)


def test_models_of_other_shapes_and_other_words_are_refused():
    with pytest.raises(InputError, match="'qwen2_5_vl' take pictures of any shape"):
        backbone_with("pad", "qwen2_5_vl")
    with pytest.raises(InputError, match="expected pad or crop"):
        backbone_with("stretch")
