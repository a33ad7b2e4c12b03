"""Second looks: maps on the picture, parts cut out of it, and tokens on the right pixels."""

import numpy as np
import pytest
from PIL import Image

from tests.support.asking import FAMILIES, QUESTION, noise, one, session_of
from vif.methods import crops
from vif.methods.papers import carve, vicrop
from vif.model.families.layout import WHOLE, Block, Layout, grid_cells

AGAIN = ("carve", "vicrop", "look+crop", "look+mask")


def ramp(size=(80, 64)):
    """An image in which each pixel's colour encodes its place."""
    x, y = ((np.arange(n) + 0.5) / n * 255 for n in size)
    plane = np.stack(np.broadcast_arrays(x[None, :, None], y[:, None, None]), -1)[:, :, 0]
    pixels = np.concatenate([plane, np.zeros_like(plane[..., :1])], -1)
    return Image.fromarray(pixels.round().astype(np.uint8))


def field(rows=6, columns=8, **spots):
    values = np.zeros((rows, columns))
    for (y, x), value in spots.get("at", {}).items():
        values[y, x] = value
    return crops.PictureMap(values, spots.get("region", WHOLE))


def test_a_map_on_a_grid_is_laid_as_it_is():
    weights = np.random.default_rng(0).random(48)
    layout = Layout(grid_cells(6, 8, (0.2, 0, 0.8, 1)), np.zeros(48, int), np.zeros(48, bool), ())
    laid = crops.lay_on_picture(layout, weights)
    assert np.allclose(laid.values, weights.reshape(6, 8))
    assert np.allclose(laid.region, (0.2, 0, 0.8, 1))


def test_scales_of_a_tiled_map_add_up():
    cells = np.concatenate([grid_cells(2, 2), grid_cells(4, 4), np.full((1, 4), np.nan)])
    blocks = np.repeat([0, 1], [4, 17])
    layout = Layout(cells, blocks, np.zeros(21, bool), ())
    laid = crops.lay_on_picture(layout, np.eye(21)[0] + np.eye(21)[4])
    assert laid.values.shape == (4, 4)
    assert np.allclose(laid.values[:2, :2], [[1.25, 0.25], [0.25, 0.25]])
    assert np.isclose(laid.values.sum(), 2)


def test_the_fullest_window_holds_the_spot_and_is_centred_on_it():
    box = crops.fullest_window(field(8, 8, at={(5, 5): 1}), 9 / 64)
    assert np.allclose(box, (4 / 8, 4 / 8, 7 / 8, 7 / 8))
    inside = crops.fullest_window(field(8, 8, at={(5, 5): 1}, region=(0.5, 0, 1, 1)), 9 / 64)
    assert np.allclose(inside, (0.75, 4 / 8, 0.5 + 7 / 16, 7 / 8))
    assert crops.fullest_window(field(), 1) == WHOLE


def test_of_equal_tokens_the_nearer_one_is_kept():
    kept = crops.top_cells(field(8, 8, at={(5, 5): 1}), 9 / 64)
    assert kept[4:7, 4:7].all()
    assert kept.sum() == 9


def test_sliding_sums_equal_plain_ones():
    values = np.random.default_rng(0).random((6, 8))
    sums = crops.sliding_sums(values, 2, 3)
    assert sums.shape == (5, 6)
    assert np.isclose(sums[4, 5], values[4:, 5:].sum())


def published_window(values, size, base):
    """The rule of ViCrop as a plain loop."""
    rows, columns = values.shape
    cell = size[0] / columns, size[1] / rows
    found = []
    for growth in (1, 1.2, 1.4, 1.6, 1.8, 2):
        width = min(int(base * growth / cell[0]), columns)
        height = min(int(base * growth / cell[1]), rows)
        if width == columns and height == rows:
            continue
        sums = {
            (x, y): values[y : y + height, x : x + width].sum()
            for x in range(columns - width + 1)
            for y in range(rows - height + 1)
        }
        x, y = max(sums, key=sums.get)
        near = [sums[p] for p in ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)) if p in sums]
        sharp = (sums[x, y] - np.mean(near)) / (width * height)
        found.append((sharp, (x + width / 2) * cell[0], (y + height / 2) * cell[1], base * growth))
    _, x, y, side = max(found)
    wide, high = min(side, size[0]) / 2, min(side, size[1]) / 2
    x, y = np.clip(x, wide, size[0] - wide), np.clip(y, high, size[1] - high)
    return ((x - wide) / size[0], (y - high) / size[1], (x + wide) / size[0], (y + high) / size[1])


@pytest.mark.parametrize("seed", range(6))
def test_the_sharpest_window_is_the_published_one(seed):
    values = np.random.default_rng(seed).random((12, 16)) ** 4
    size, base = (400, 300), 90 + 20 * seed
    box = vicrop.sharpest_window(crops.PictureMap(values, WHOLE), size, base)
    assert np.allclose(box, published_window(values, size, base), atol=1e-9)
    assert vicrop.sharpest_window(crops.PictureMap(values, WHOLE), size, 400) == WHOLE


def test_carve_keeps_the_regions_that_hold_most():
    spots = field(12, 12, at={(2, 2): 3, (2, 3): 3, (9, 9): 2, (9, 2): 1})
    fine, kept = carve.regions(spots, 0.05, 1)
    assert kept.shape == (48, 48)
    y, x = (np.flatnonzero(kept.any(axis)) / 4 for axis in (1, 0))
    assert 1 <= y.min() < y.max() < 4
    assert 1 <= x.min() < x.max() < 5
    two = carve.regions(spots, 0.05, 2)[1]
    assert two[36:, 36:].any()
    assert not two[36:, :16].any()
    box = carve.bounds(fine, kept)
    assert box[2] - box[0] == pytest.approx(box[3] - box[1]), "in the picture's own shape"
    assert (np.array(box) >= 0).all()


def test_carve_weighs_later_steps_more_and_compares_common_ones():
    asked, generic = np.ones((3, 2, 2, 4)), np.ones((2, 2, 2, 4))
    asked[0, ..., 0], asked[1, ..., 1], asked[2, ..., 2] = 3, 3, 99
    found = carve.contrast(asked, generic, np.ones(4, bool), 0)
    assert np.allclose(found, 2 * np.array([3 + 2, 1 + 6, 3, 3]), rtol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_of_a_view_lie_where_their_colours_come_from(family):
    """On a ramp, each pixel's colour encodes its place on the original."""
    picture, backbone = ramp(), session_of(family).backbone
    view = crops.cut_out(picture, (0.25, 0.25, 0.75, 0.875), (80, 64))
    assert np.allclose(view.box, (20 / 80, 16 / 64, 60 / 80, 56 / 64))
    prompt = backbone.encode(view.image, QUESTION)
    moved = crops.in_whole_picture(prompt.layout, view.box)
    known = ~np.isnan(prompt.layout.centres).any(1)
    local = (prompt.layout.centres[known] * view.image.size).astype(int)
    colours = np.asarray(view.image)[local[:, 1], local[:, 0], :2] / 255
    assert np.abs(colours - moved.centres[known]).max() < 0.02
    assert np.array_equal(np.isnan(moved.cells), np.isnan(prompt.layout.cells))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", AGAIN)
def test_what_a_view_leaves_out_is_unseen(family, name):
    trace = one(session_of(family), name)
    box, cells = trace.meta["notes"]["box"], trace.cells
    known = ~np.isnan(cells).any(1)
    assert (cells[known] >= np.array(box)[[0, 1, 0, 1]] - 1e-6).all()
    assert (cells[known] <= np.array(box)[[2, 3, 2, 3]] + 1e-6).all()
    unseen = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in trace.meta["layout"]["unseen"])
    assert unseen >= 1 - (box[2] - box[0]) * (box[3] - box[1]) - 1e-4
    assert trace.meta["question"] == QUESTION
    assert trace.rows.shape[-1] == len(cells)
    if name == "look+crop":
        assert box[0] <= 0.5
        assert box[2] >= 0.9
    if name == "look+mask":
        assert box == [0, 0, 1, 1]
        assert trace.meta["notes"]["kept"] == pytest.approx(0.5, abs=0.02)


def test_a_mask_leaves_kept_pixels_alone_and_blackens_the_rest():
    picture = ramp((80, 60))
    kept = np.zeros((6, 8), bool)
    kept[2:4, 1:5] = True
    masked = np.asarray(crops.black_out(picture, field(6, 8), kept))
    assert np.array_equal(masked[20:40, 10:50], np.asarray(picture)[20:40, 10:50])
    masked = masked.copy()
    masked[20:40, 10:50] = 0
    assert not masked.any()


def test_a_second_look_is_a_plain_answer_about_the_crop():
    session = session_of("qwen2_5_vl")
    trace = one(session, "look+crop")
    view = crops.cut_out(noise(), trace.meta["notes"]["box"], noise().size)
    same = session.ask(view.image, QUESTION, ["plain"], max_new_tokens=3)["plain"]
    assert same.tokens == trace.tokens
    assert np.array_equal(same.rows, trace.rows)


def test_grids_of_a_view_keep_their_regions():
    layout = Layout(
        grid_cells(2, 2), np.zeros(4, int), np.zeros(4, bool), (Block("whole", "a", 2, 2),)
    )
    moved = crops.in_whole_picture(layout, (0.5, 0.25, 1.0, 0.75))
    assert moved.grids[0].region == (0.5, 0.25, 1.0, 0.75)
    assert np.allclose(moved.cells[0], (0.5, 0.25, 0.75, 0.5))
