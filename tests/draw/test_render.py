import base64
import io

import numpy as np
import pytest
from PIL import Image

from vif.draw import render

GREY = np.full((40, 60, 3), 128, np.uint8)


def grid(columns, rows):
    x, y = np.meshgrid(np.arange(columns) / columns, np.arange(rows) / rows)
    corner = np.stack([x, y], -1).reshape(-1, 2)
    return np.concatenate([corner, corner + np.array([1 / columns, 1 / rows])], 1)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(7), (2, 3, 4))[..., :6]


def test_a_chosen_layer_and_head_is_that_row(rows):
    np.testing.assert_allclose(render.pick_map(rows, 1, layer=2, head=3), rows[1, 2, 3], rtol=1e-5)


def test_layers_are_averaged_before_the_maximum_over_heads(rows):
    expected = rows[0].mean(0).max(0)
    np.testing.assert_allclose(render.pick_map(rows, 0, head="max"), expected, rtol=1e-5)


def test_a_normalised_map_sums_to_one(rows):
    assert render.pick_map(rows, 0, 1, "mean", normalise=True).sum() == pytest.approx(1, rel=1e-5)


def test_a_normalised_map_of_zeros_stays_zero():
    assert render.pick_map(np.zeros((1, 1, 1, 4)), 0, 0, normalise=True).sum() == 0


def test_an_unknown_head_rule_is_refused(rows):
    with pytest.raises(ValueError, match="median"):
        render.pick_map(rows, 0, head="median")


def test_cells_tile_the_picture_without_gap_or_overlap():
    # 7 columns on 60 pixels: the cells cannot all be equally wide.
    values = np.arange(35, dtype=float)
    field = render.paint(values, grid(7, 5), (40, 60))
    assert not np.isnan(field).any()
    assert set(np.unique(field)) == set(values)


def test_a_value_lands_on_its_own_cell():
    values = np.zeros(12)
    values[1 * 4 + 2] = 1
    field = render.paint(values, grid(4, 3), (30, 40))
    assert field[15, 25] == 1
    assert field.sum() == 100


def test_tokens_off_the_image_are_not_drawn():
    cells = grid(2, 1)
    cells[1] = np.nan
    field = render.paint(np.ones(2), cells, (10, 20))
    assert np.isnan(field[:, 10:]).all()
    assert (field[:, :10] == 1).all()


def test_without_opacity_the_picture_is_unchanged():
    picture = np.random.default_rng(1).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    drawn = render.overlay(picture, np.ones((8, 9)), 1.0, "viridis", 0.0)
    np.testing.assert_array_equal(drawn, picture)


def table_of(palette):
    """All colours of a palette, (256, 3)."""
    return render.colour_bar(GREY, palette, 1.0)[0]


@pytest.mark.parametrize("palette", render.PALETTES)
def test_full_opacity_shows_the_ends_of_the_palette(palette):
    field = np.zeros((40, 60))
    field[:, 30:] = 0.5
    drawn = render.overlay(GREY, field, 0.5, palette, 1.0)
    colours = table_of(palette)
    np.testing.assert_array_equal(drawn[0, 0], colours[0])
    np.testing.assert_array_equal(drawn[0, -1], colours[-1])


@pytest.mark.parametrize("palette", render.PALETTES)
def test_palettes_grow_lighter_all_the_way(palette):
    luma = table_of(palette).astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(luma) > -1.5).all()
    assert luma[-1] - luma[0] > 120


@pytest.mark.parametrize("opacity", [0.3, 1.0])
def test_the_bar_shows_the_colours_as_they_look_on_the_picture(opacity):
    drawn = render.overlay(GREY, np.full((40, 60), 0.7), 0.7, "viridis", opacity)
    bar = render.colour_bar(GREY, "viridis", opacity)
    np.testing.assert_array_equal(drawn[0, 0], bar[0, -1])


def test_values_above_the_top_take_the_last_colour():
    drawn = render.overlay(GREY, np.full((40, 60), 9.0), 1.0, "magma", 1.0)
    np.testing.assert_array_equal(drawn[0, 0], table_of("magma")[-1])


def test_one_scale_gives_equal_values_equal_colours():
    low, high = np.full((40, 60), 0.1), np.full((40, 60), 0.1)
    high[0, 0] = 0.4
    first = render.overlay(GREY, low, 0.4, "cividis", 0.6)
    second = render.overlay(GREY, high, 0.4, "cividis", 0.6)
    np.testing.assert_array_equal(first[5, 5], second[5, 5])


def test_unseen_pixels_look_unlike_any_value():
    field = np.zeros((40, 60))
    field[:, :30] = np.nan
    drawn = render.overlay(GREY, field, 1.0, "viridis", 1.0)
    assert len(np.unique(drawn[:, :30].reshape(-1, 3), axis=0)) == 2
    assert (drawn[0, 0] == drawn[0, 0, 0]).all()


def test_an_unknown_palette_is_refused():
    with pytest.raises(ValueError, match="jet"):
        render.overlay(GREY, np.zeros((40, 60)), 1.0, "jet", 1.0)


@pytest.mark.parametrize(("size", "shape"), [((30, 60), (120, 60)), ((9, 3), (40, 120))])
def test_shrink_keeps_the_aspect_ratio(size, shape):
    assert render.shrink(Image.new("RGB", size), 120).shape == (*shape, 3)


@pytest.mark.parametrize("image", [GREY, render.colour_bar(GREY, "viridis", 0.5)])
def test_a_data_address_holds_the_picture(image):
    head, body = render.data_url(image).split(",", 1)
    assert head.startswith("data:image/")
    assert Image.open(io.BytesIO(base64.b64decode(body))).size == image.shape[1::-1]
