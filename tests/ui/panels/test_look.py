import numpy as np
import pytest

from tests.support.fake_page import QUESTION, ask, clicked
from tests.support.fake_session import FakeSession
from vif.errors import InputError
from vif.inputs.boxes import box_shares, mask_shares
from vif.ui.panels import look
from vif.ui.state.drawing import Drawing, Stroke, region, score
from vif.ui.state.form import Truth

BOX = (0.25, 0.25, 0.5, 0.5)
ONE = Drawing((BOX,))


def sent(boxes=(), strokes=(), ratio=1.0):
    event = clicked(0)
    event._data = {"boxes": list(boxes), "strokes": list(strokes), "ratio": ratio}
    return event


def test_a_drawing_is_read_whatever_the_direction_of_the_drag():
    drawing, note, _ = look.take_drawing(sent([[0.5, 0.5, 0.25, 0.25]]))
    assert drawing.boxes == (BOX,)
    assert "1 box" in note


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"boxes": [[1, 2]], "strokes": [], "ratio": 1},
        {"boxes": [[0, 0, float("nan"), 1]], "strokes": [], "ratio": 1},
        {"boxes": [], "strokes": [{"r": 0.1, "points": []}], "ratio": 1},
        {"boxes": [[0, 0, 1, 1]] * 500, "strokes": [], "ratio": 1},
    ],
)
def test_nonsense_from_the_browser_gives_one_sentence(data):
    with pytest.raises(InputError):
        Drawing.read(data)


def test_what_leaves_the_picture_ends_at_its_border():
    assert Drawing.read({"boxes": [[-1, -1, 2, 2]], "strokes": [], "ratio": 1}).boxes == (
        (0, 0, 1, 1),
    )


def test_a_stroke_paints_a_band_of_its_width():
    stroke = Stroke(0.1, ((0.2, 0.5), (0.8, 0.5)))
    mask = Drawing((), (stroke,)).mask()
    height = (mask[:, mask.shape[1] // 2] > 0).mean()
    assert height == pytest.approx(0.2, abs=0.02)
    assert mask.mean() == pytest.approx(0.6 * 0.2 + np.pi * 0.01, rel=0.05)


def test_boxes_and_their_painted_mask_weigh_tokens_alike():
    cells = np.array([[x / 8, y / 8, (x + 1) / 8, (y + 1) / 8] for y in range(8) for x in range(8)])
    np.testing.assert_allclose(
        box_shares(cells, [BOX]),
        mask_shares(cells, region([BOX], 1.0)),
        atol=1e-6,
        rtol=1e-5,
    )


@pytest.mark.parametrize(("ratio", "shape"), [(2.0, (192, 384)), (0.5, (384, 192))])
def test_a_mask_has_the_shape_of_the_picture(ratio, shape):
    assert region([BOX], ratio).shape == shape


@pytest.mark.parametrize(
    ("truth", "overlap", "hits"),
    [
        (BOX, 1.0, True),
        ((0.25, 0.25, 0.5, 0.75), 0.5, True),
        ((0.6, 0.6, 0.9, 0.9), 0.0, False),
        ((0.25, 0.25, 1.0, 1.0), 1 / 9, True),
    ],
)
def test_a_guess_is_scored_by_overlap_and_pointing(truth, overlap, hits):
    found = score(ONE, [truth])
    assert found.overlap == pytest.approx(overlap, abs=0.01)
    assert found.hits is hits


def test_an_empty_guess_gives_one_sentence_and_shows_no_truth():
    note, canvas = look.check_guess(Drawing(), QUESTION, [Truth(QUESTION, "red", (BOX,))], None)
    assert "Nothing is marked" in note
    assert not hasattr(canvas, "props")


def test_a_guess_shows_the_truth_and_where_the_answers_look():
    truths = [Truth(QUESTION, "red", (BOX,))]
    note, canvas = look.check_guess(ONE, QUESTION, truths, ask(truths=truths))
    assert "overlap (IoU) 100 %" in note
    assert "VIF" in note
    assert canvas.props["truth"] == [list(BOX)]


def test_a_question_without_a_known_place_cannot_be_scored():
    note, _ = look.check_guess(ONE, "What is this?", [], None)
    assert "is unknown" in note


def test_the_marked_place_reaches_the_session():
    session = FakeSession()
    result = ask(session, chosen=["plain", "look"], drawing=ONE)
    assert session.calls[-1]["look"] == (BOX,)
    assert list(result.traces) == ["plain", "look"]
    painted = Drawing((BOX,), (Stroke(0.1, ((0.5, 0.5),)),))
    ask(session, chosen=["look"], drawing=painted)
    assert session.calls[-1]["look"].shape == (384, 384)


def test_asking_with_a_place_joins_the_comparison_or_says_why_not():
    assert look.with_place(ONE, ["plain", "vif"]) == ["plain", "vif", "look"]
    assert look.with_place(ONE, ["look"]) == ["look"]
    with pytest.raises(InputError, match="4 methods are already chosen"):
        look.with_place(ONE, ["plain", "vif", "pai", "vcd"])
    with pytest.raises(InputError, match="Nothing is marked"):
        look.with_place(Drawing(), ["plain"])


def test_another_picture_removes_the_drawing(tmp_path):
    canvas, drawing, note = look.new_picture(None)
    assert drawing.is_empty
    assert note == ""
    assert "no picture" in canvas.value
