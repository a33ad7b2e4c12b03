import re

import numpy as np
import pytest

from tests.support.fake_page import ask
from tests.support.fake_session import FakeSession, tiled_layout
from vif.draw import render
from vif.trace import Trace
from vif.ui.html.ruler import ruler_panel
from vif.ui.state.result import Result


@pytest.fixture(scope="module")
def tiled():
    return ask(session=FakeSession(layout=tiled_layout()))


def with_layout(result, **changes):
    trace = result.first
    meta = trace.meta | {"layout": trace.meta["layout"] | changes}
    return Result(result.picture, {"plain": Trace(**(vars(trace) | {"meta": meta}))})


def paths(html, class_):
    return [p.count("M") for p in re.findall(rf'<path class="{class_}" d="([^"]*)"', html)]


def test_every_token_on_the_image_is_a_cell_and_every_grid_an_outline(tiled):
    html = ruler_panel(tiled)
    assert paths(html, "vl-grid") == [36, 80]
    assert paths(html, "vl-block") == [1, 2]
    assert paths(html, "vl-grid-padding") == [16]


def test_the_captions_count_grids_and_tokens(tiled):
    html = ruler_panel(tiled)
    assert "<b>144 tokens</b>: 116 on the image, 16 padding tokens and 12 line ends not" in html
    assert "<b>6 x 6</b> (rows x columns): 36 tokens on the image." in html
    assert "<b>2 grids of 6 x 8</b> (rows x columns): 80 tokens on the image" in html
    assert "<b>10 %</b> of the picture" in html


def test_padding_lies_beside_the_picture(tiled):
    drawn = re.search(r'<path class="vl-grid-padding" d="([^"]*)"', ruler_panel(tiled)).group(1)
    height = tiled.picture.shape[0]
    tops = {float(y) for y in re.findall(r"M[\d.-]+ ([\d.-]+)H", drawn)}
    bottoms = [float(y) for y in re.findall(r"V([\d.-]+)H", drawn)]
    assert tops == {0.0}
    np.testing.assert_allclose(bottoms, 0.2 * height, atol=1, rtol=1e-5)


def test_a_picture_that_is_seen_whole_has_no_grey_and_no_padding():
    html = ruler_panel(ask())
    assert "Every pixel of the picture is seen." in html
    assert "vl-grid-padding" not in html
    assert html.count("<figure") == 1


def test_an_old_trace_without_a_layout_says_so(tiled):
    trace = tiled.first
    bare = Trace(**(vars(trace) | {"meta": {}}))
    assert "are unknown" in ruler_panel(Result(tiled.picture, {"plain": bare}))


def test_names_of_grids_are_escaped(tiled):
    grids = [dict(grid) for grid in tiled.first.meta["layout"]["grids"]]
    grids[1] |= {"name": "<b>x", "rows": 3, "columns": 17}
    assert "<b>x" not in ruler_panel(with_layout(tiled, grids=grids))


def test_unseen_regions_lose_their_colour():
    image = np.full((20, 40, 3), (200, 40, 40), np.uint8)
    grey = render.grey_out(image, [(0, 0, 0.5, 1)])
    np.testing.assert_array_equal(grey[:, 20:], image[:, 20:])
    assert (grey[:, :20].std(-1) < 1).all()
    np.testing.assert_array_equal(render.grey_out(image, []), image)


def test_scales_add_up_by_area():
    cells = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0, 1, 1], [np.nan] * 4])
    values, blocks = np.array([0.4, 0.1, 0.3, 0.9]), np.array([0, 1, 1, 1])
    field = render.paint_scale(values, cells, blocks, "all", (2, 4))
    np.testing.assert_allclose(field[0], [0.6, 0.6, 1.0, 1.0], rtol=1e-6)
    # The mean over the image is all attention that lies on it.
    assert field.mean() == pytest.approx(0.8)
    with pytest.raises(ValueError, match="scale is 'both'"):
        render.paint_scale(values, cells, blocks, "both", (2, 4))
