"""The state of a tab as a bundle, and a bundle as the state of a tab."""

import io
import json
import zipfile

import numpy as np
import pytest

from tests.support.fake_page import PICTURE, QUESTION, ask
from tests.support.fake_session import FakeSession, tiled_layout
from vif import bundle
from vif.charts import figures
from vif.draw import render
from vif.ui.state.drawing import Drawing, Stroke
from vif.ui.state.examples import read_examples
from vif.ui.state.form import Truth
from vif.ui.state.payload import payload_of
from vif.ui.state.saved import from_bundle, read_view, to_bundle, to_zip
from vif.ui.state.view import View

TRUTH = Truth(QUESTION, "red", ((0.1, 0.2, 0.4, 0.5),))
VIEW = View(layer=6, head=2, normalised=True, opacity=0.4, show="marked")


def test_a_result_comes_back_as_it_was():
    drawing = Drawing(((0.1, 0.1, 0.2, 0.2),), (Stroke(0.05, ((0.5, 0.5), (0.6, 0.6))),), 1.25)
    before = ask(truths=[TRUTH], drawing=drawing, alpha=0.3, seed=5, max_new_tokens=9,
                 context="some words", own={"pai": {"alpha": 0.2}})  # fmt: skip
    after, view = from_bundle(bundle.read(to_zip(before, VIEW)))
    assert view == VIEW
    assert vars(after.truth) == vars(TRUTH)
    assert list(after.traces) == list(before.traces)
    assert np.array_equal(after.picture, before.picture)
    form = after.form
    assert (form.alpha, form.seed, form.max_new_tokens) == (0.3, 5, 9)
    assert (form.question, form.context) == (QUESTION, "some words")
    assert form.drawing == drawing
    assert form.image.size == PICTURE.size
    shown, drawn = payload_of(after), payload_of(before)
    assert {**shown, "id": 0} == {**drawn, "id": 0}


def test_the_zip_has_the_scale_of_the_page():
    result = ask()
    view = View(layer=6)
    archive = zipfile.ZipFile(io.BytesIO(to_zip(result, view)))
    drawn = archive.read("figures/heatmaps.svg").decode()
    shown = figures.Shown(layer=6)
    fields = [shown.field(n, t, result.picture.shape[:2]) for n, t in result.traces.items()]
    top = f"{figures.shared_top(fields):.2g}"
    assert f">{top}<" in drawn
    shape = result.picture.shape[:2]
    rows = [render.pick_map(t.rows, 0, 6) for t in result.traces.values()]
    shown = [
        render.paint(r, t.cells, shape) for r, t in zip(rows, result.traces.values(), strict=True)
    ]
    assert top == f"{max(map(np.nanmax, shown)):.2g}"


def test_an_upload_that_is_gone_leaves_the_picture_that_was_shown(tmp_path):
    path = tmp_path / "gone.png"
    PICTURE.resize((800, 600)).save(path)
    result = ask(image=str(path))
    assert to_bundle(result, View()).picture.size == (800, 600)
    path.unlink()
    assert to_bundle(result, View()).picture.size == result.picture.shape[1::-1]


@pytest.mark.parametrize(
    "value",
    [{"layer": 99}, {"layer": True}, {"head": [1]}, {"head": "x"}, {"opacity": float("nan")},
     {"show": 3}, {"token": -1}, {"scale": "tiles"}, {"normalised": 1}],
)  # fmt: skip
def test_an_invalid_view_becomes_the_default(value):
    assert read_view(value, ask()) == View()


def test_tiles_can_be_shown_where_there_are_some():
    result = ask(FakeSession(layout=tiled_layout()))
    assert read_view({"scale": "tiles"}, result).scale == "tiles"


def test_an_example_brings_its_recorded_answers(tmp_path):
    result = ask()
    PICTURE.save(tmp_path / "a.png")
    (tmp_path / "a.zip").write_bytes(to_zip(result, View(layer=5)))
    (tmp_path / "b.zip").write_bytes(b"no zip")
    shared = {"image": "a.png", "question": QUESTION, "label": "Fixed by VIF"}
    listing = [shared | {"recorded": "a.zip"}, shared | {"recorded": "b.zip"}, shared]
    (tmp_path / "examples.json").write_text(json.dumps(listing))
    first, *others = read_examples(tmp_path)
    assert first.label == "Fixed by VIF"
    found, view = first.recorded
    assert list(found.traces) == list(result.traces)
    assert view.layer == 5
    assert [example.recorded for example in others] == [None, None]
