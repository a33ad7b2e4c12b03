"""Boxes as answers: found at the object on the original, whatever the processor did."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from vif.check import tiny_backbone
from vif.errors import InputError
from vif.grounding import FORMATS, Frame, box_of_map, find_format, iou, smallest_box
from vif.grounding.formats import BINS, PIXELS, THOUSAND, UNIT

BOX = (0.375, 0.3, 0.625, 0.5)  # within what a square crop of all these images keeps


def marked(size, box=BOX):
    """A black picture with a white box."""
    image = Image.new("RGB", size)
    sides = [round(side * size[i % 2]) for i, side in enumerate(box)]
    ImageDraw.Draw(image).rectangle([sides[0], sides[1], sides[2] - 1, sides[3] - 1], fill="white")
    return image


def as_image(backbone, inputs):
    """Brightness of the whole image as the model gets it, (H, W)."""
    pixels = inputs["pixel_values"].float()
    vision = backbone.model.config.vision_config
    if "image_grid_thw" in inputs:  # Qwen: flat patches, grouped by what is merged
        _, rows, columns = inputs["image_grid_thw"][0].tolist()
        merge, patch = vision.spatial_merge_size, vision.patch_size
        shape = (rows // merge, columns // merge, merge, merge, 3, -1, patch, patch)
        patches = pixels.reshape(shape)[..., 0, :, :].mean(4)
        return patches.permute(0, 2, 4, 1, 3, 5).reshape(rows * patch, columns * patch)
    if pixels.ndim == 5:
        pixels = pixels[0]
    # LLaVA-NeXT begins with the whole image, InternVL ends with it.
    whole = 0 if backbone.family.model_type != "internvl" else -1
    return pixels[whole].mean(0)


def bright_box(brightness):
    """Where the white box lies, in pixels: (x0, y0, x1, y1)."""
    is_bright = brightness > (brightness.min() + brightness.max()) / 2
    rows, columns = (torch.nonzero(is_bright.any(axis)).squeeze(1) for axis in (1, 0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def frame_of(backbone, size):
    prompt = backbone.encode(marked(size), "what is this ?")
    whole = prompt.layout.grids[0]
    return Frame.of(backbone, size, whole.rows, whole.columns), prompt.inputs


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"}))
@pytest.mark.parametrize("size", [(160, 100), (90, 200), (128, 128)])
def test_a_box_where_the_model_sees_it_is_the_box_of_the_original(name, size):
    backbone = tiny_backbone(name)
    frame, inputs = frame_of(backbone, size)
    brightness = as_image(backbone, inputs)
    height, width = brightness.shape
    if find_format(name).scale == PIXELS:
        assert frame.size == (width, height)
    seen = np.array(bright_box(brightness)) / [width, height, width, height]
    found = frame.to_original(tuple(seen), UNIT)
    # A pixel of the processed image, and half of one for the threshold.
    pixel = 1.5 * np.array([*frame._extent, *frame._extent]) / [width, height, width, height]
    assert (np.abs(np.array(found) - BOX) <= pixel).all()


@pytest.mark.parametrize("size", [(160, 100), (90, 200)])
def test_padding_is_undone(size):
    backbone = tiny_backbone("llava")
    backbone.processor.image_processor = LlavaImageProcessorPil(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, do_pad=True,
        image_mean=[0, 0, 0], image_std=[1, 1, 1],
    )  # fmt: skip
    frame, inputs = frame_of(backbone, size)
    assert frame.region[0] <= 0
    assert frame.region[3] >= 1
    found = frame.to_original(tuple(np.array(bright_box(as_image(backbone, inputs))) / 56), UNIT)
    assert found == pytest.approx(BOX, abs=1.5 * max(size) / min(size) / 56)


UNITS = {UNIT: 1, THOUSAND: 1000, BINS: 1024, PIXELS: np.array([448, 308, 448, 308])}


@pytest.mark.parametrize("scale", sorted({known.scale for known in FORMATS.values()}))
def test_every_unit_is_led_back_to_the_original_image(scale):
    frame = Frame((-0.1, 0.0, 1.1, 1.0), (448, 308))
    written = (np.array(BOX) - (-0.1, 0, -0.1, 0)) / (1.2, 1, 1.2, 1) * UNITS[scale]
    assert frame.to_original(tuple(written), scale) == pytest.approx(BOX)


@pytest.mark.parametrize(
    ("name", "answer", "box"),
    [
        ("llava", "[0.25, 0.3, 0.5, 0.8]", (0.25, 0.3, 0.5, 0.8)),
        ("llava", "I see 2 dogs at [0.5, 0.8, 0.25, 0.3]", (0.25, 0.3, 0.5, 0.8)),
        ("llava", "nowhere", None),
        ("llava", "[0.1, 0.2]", None),
        ("qwen2_vl", "the dog(100,200),(300,400)", (100, 200, 300, 400)),
        (
            "qwen2_5_vl",
            '```json\n[\n\t{"bbox_2d": [12, 34, 156, 278], "label": "dog 1"}\n]\n```',
            (12, 34, 156, 278),
        ),
        ("qwen3_vl", '{"label": "no. 1, 2, 3, 4", "bbox_2d": [1, 2, 30, 40]}', (1, 2, 30, 40)),
        ("internvl", "<ref>dog</ref><box>[[10, 20, 300, 400]]</box>", (10, 20, 300, 400)),
        ("paligemma", "<loc0100><loc0200><loc0300><loc0400> dog", (200, 100, 400, 300)),
    ],
)
def test_answers_are_read_as_published(name, answer, box):
    assert find_format(name).parse(answer) == box


def test_a_family_without_a_box_format_is_reported():
    with pytest.raises(InputError, match="'mistral3' have no documented format for boxes"):
        find_format("mistral3")


def test_iou_of_known_boxes():
    assert iou((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (1, 0, 2, 1)) == 0
    assert iou((0, 0, 1, 1), (5, 5, 6, 6)) == 0


def brute_force(grid, share):
    rows, columns = grid.shape
    best = None
    for top in range(rows):
        for left in range(columns):
            for bottom in range(top + 1, rows + 1):
                for right in range(left + 1, columns + 1):
                    total = grid[top:bottom, left:right].sum()
                    key = ((bottom - top) * (right - left), -total)
                    if total >= share * grid.sum() - 1e-9 and (best is None or key < best):
                        best = key
    return best


@pytest.mark.parametrize("seed", range(4))
def test_the_smallest_box_is_the_smallest(seed):
    grid = np.random.default_rng(seed).random((5, 6)) ** 4
    top, left, bottom, right = smallest_box(grid, 0.6)
    area, total = brute_force(grid, 0.6)
    assert (bottom - top) * (right - left) == area
    assert grid[top:bottom, left:right].sum() == pytest.approx(-total)


def test_a_map_on_one_object_gives_its_box(session, image):
    trace = session.ask(image, "What is it?", ["oracle"], boxes=[BOX], max_new_tokens=1)["oracle"]
    found = box_of_map(trace, trace.mixtures[0].map, 0.99)
    assert found == pytest.approx(BOX, abs=1 / 12)
    assert iou(found, BOX) >= 0.5
    assert box_of_map(trace, np.zeros(trace.rows.shape[-1])) is None
    assert THOUSAND in {form.scale for form in FORMATS.values()}
