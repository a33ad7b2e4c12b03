"""Every image token lies where the model really looks, for every family and shape of image."""

import json
from dataclasses import replace

import numpy as np
import pytest
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from vif.check import RAMP_SIZES, TINY, tiny_adapter, tiny_backbone
from vif.check.ramp import ramp_error, ramp_image
from vif.errors import InputError
from vif.model import families
from vif.model.families import Layout, grid_cells, uncovered
from vif.session import Session

HALF_A_TOKEN = 0.5
EXTREMES = ((1, 3000), (3000, 1), (1, 1), (3, 5))


@pytest.fixture(scope="module", params=TINY)
def backbone(request):
    return tiny_backbone(request.param)


def layout_of(backbone, size):
    return backbone.encode(ramp_image(size), "what is this ?").layout


def area(regions):
    return sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in regions)


@pytest.mark.parametrize("size", RAMP_SIZES)
def test_tokens_lie_where_they_look(backbone, size):
    if backbone.family.refuses(backbone.processor, size):
        pytest.skip("refused, see below")
    assert ramp_error(backbone, size, tokens=40) < HALF_A_TOKEN


@pytest.mark.parametrize("size", EXTREMES)
def test_extreme_images_are_placed_or_refused_in_one_sentence(backbone, size):
    if backbone.family.refuses(backbone.processor, size):
        with pytest.raises(
            InputError, match=rf"^The image of {size[0]} x {size[1]} pixels [^.]+\.$"
        ):
            layout_of(backbone, size)
    else:
        assert ramp_error(backbone, size, tokens=20) < HALF_A_TOKEN


def test_layouts_are_complete(backbone):
    layout = layout_of(backbone, (301, 207))
    placed = ~np.isnan(layout.cells).any(1)
    assert len(layout.cells) == len(layout.blocks) == len(layout.padding)
    assert layout.cells[placed].min() >= 0
    assert layout.cells[placed].max() <= 1
    assert not placed[layout.padding].any()
    assert layout.grids[0].kind == "whole"
    assert set(layout.blocks) == set(range(len(layout.grids)))
    for number, block in enumerate(layout.grids):
        newlines = block.rows if block.kind == "tiles" else 0
        assert (layout.blocks == number).sum() == block.rows * block.columns + newlines
    assert json.loads(json.dumps(layout.describe()))["grids"][0]["name"] == "whole image"


def test_the_page_learns_of_a_trace_what_is_unseen(backbone):
    session = Session(backbone, tiny_adapter())
    traces = session.ask(
        ramp_image((100, 60)), "what is this ?", ["plain", "vif"], max_new_tokens=2
    )
    for trace in traces.values():
        assert trace.meta["layout"] == layout_of(backbone, (100, 60)).describe()
        assert np.isfinite(trace.rows[:, list(backbone.attention_layers)]).all()
    for mixture in traces["vif"].mixtures:
        assert np.isclose(mixture.map.sum(), 1, atol=1e-5)
        assert not mixture.map[np.isnan(traces["vif"].cells).any(1)].any()


def test_an_unknown_family_is_refused():
    with pytest.raises(InputError, match="'blip' are not supported yet"):
        families.find("blip")


def test_a_number_of_tokens_that_does_not_fit_is_refused():
    backbone = tiny_backbone("llava")
    backbone.image_token_id = backbone.processor.tokenizer.convert_tokens_to_ids("star")
    with pytest.raises(InputError, match="should make"):
        backbone.encode(ramp_image((100, 60)), "what star is this ?")


def test_a_centre_crop_leaves_the_sides_unseen():
    (left, right) = layout_of(tiny_backbone("llava"), (100, 50)).unseen
    assert left == pytest.approx((0, 0, 0.25, 1), abs=1e-5)
    assert right == pytest.approx((0.75, 0, 1, 1), abs=1e-5)


def test_padding_to_a_square_is_marked_and_everything_is_seen():
    backbone = tiny_backbone("llava")
    square = {"height": 56, "width": 56}
    # Padding is the mean colour; with a mean of 0 the ramp can tell it from the image.
    backbone.processor.image_processor = LlavaImageProcessorPil(
        size={"shortest_edge": 56},
        crop_size=square,
        do_pad=True,
        image_mean=[0, 0, 0],
        image_std=[1, 1, 1],
    )
    layout = layout_of(backbone, (100, 50))
    assert layout.padding.tolist() == [True] * 4 + [False] * 8 + [True] * 4
    assert not layout.unseen
    for size in ((100, 50), (50, 100), (90, 70), (1, 3000)):
        assert ramp_error(backbone, size) < HALF_A_TOKEN


@pytest.mark.parametrize("size", [(200, 60), (60, 200), (101, 40)])
def test_pan_and_scan_crops_are_blocks_of_their_own(size):
    backbone = tiny_backbone("gemma3")
    backbone.processor.images_kwargs = {
        "do_pan_and_scan": True,
        "pan_and_scan_min_crop_size": 16,
        "pan_and_scan_max_num_crops": 4,
        "pan_and_scan_min_ratio_to_activate": 1.2,
    }
    layout = layout_of(backbone, size)
    assert [block.kind for block in layout.grids[1:]] == ["crop"] * (len(layout.grids) - 1)
    assert len(layout.grids) > 2
    assert ramp_error(backbone, size) < HALF_A_TOKEN


def test_a_llava_model_may_have_pixtrals_tower(monkeypatch):
    options = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
    parts = {"patch_size": 14, "spatial_merge_size": 1}
    tiny = replace(TINY["mistral3"], config="LlavaConfig", options=options, processor_options=parts)
    monkeypatch.setitem(TINY, "pixtral", tiny)
    backbone = tiny_backbone("pixtral")
    assert backbone.family.model_type == "llava"
    for size in ((100, 60), (60, 100)):
        assert ramp_error(backbone, size) < HALF_A_TOKEN
    with pytest.raises(InputError, match="too narrow"):
        layout_of(backbone, (1, 3000))


def test_too_many_tiles_are_shrunk():
    layout = layout_of(tiny_backbone("llava_onevision"), (400, 390))
    assert (layout.grids[1].rows, layout.grids[1].columns) < (16, 16)


def test_uncovered_is_the_rest_of_the_image():
    random = np.random.default_rng(0)
    corners = random.random((20, 2, 2)).round(2)
    cells = np.concatenate([corners.min(1), corners.max(1)], -1)
    rest = uncovered(np.concatenate([cells, np.full((2, 4), np.nan)]))
    points = random.random((4000, 2))

    def inside(regions):
        boxes = np.array(regions)[None]
        low, high = points[:, None] >= boxes[..., :2], points[:, None] < boxes[..., 2:]
        return (low & high).all(-1).sum(1)

    assert ((inside(cells) > 0) + inside(rest) == 1).all()
    assert uncovered(grid_cells(24, 24)) == []
    assert area(uncovered(np.zeros((0, 4)))) == 1


def test_layouts_tell_centres():
    cells = np.array([[0, 0, 0.5, 1], [np.nan] * 4])
    layout = Layout(cells, np.zeros(2, int), np.zeros(2, bool), ())
    assert layout.centres[0].tolist() == [0.25, 0.5]
    assert np.isnan(layout.centres[1]).all()


def test_two_images_at_once_are_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"^An image was expected, [^.]+ not list[^.]+\.$"):
        Session(tiny_backbone("llava")).ask([ramp_image((9, 9))] * 2, "what is it ?", ["plain"])
