"""A click on a map: the words of that token, and the answer tokens that read it."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from tests.support.fake_page import ask, wiring_of
from vif import metrics, probes
from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.question import Question
from vif.ui.features import lens
from vif.ui.html.lens import lens_html


def test_the_finest_token_at_a_place_is_found():
    cells = np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [np.nan] * 4, [0.5, 0.5, 1, 1]])
    assert metrics.token_at(cells, (0.25, 0.25)) == 1
    assert metrics.token_at(cells, (0.75, 0.25)) == 0
    assert metrics.token_at(cells[1:], (0.75, 0.25)) is None
    # The far edges belong to nothing.
    assert metrics.token_at(cells, (1.0, 1.0)) is None


def test_a_click_shows_the_words_of_its_token_and_its_readers(session, asked):
    picked = {"x": 0.1, "y": 0.9}
    html = lens.lens_of(session, asked, picked, threading.Event())
    trace = asked.traces["plain"]
    token = metrics.token_at(trace.cells, (0.1, 0.9))
    assert f"Image token {token}, 10 % from the left and 90 % from the top" in html
    form = asked.form
    whole = probes.logit_lens(session, probe_question(form))
    for layer, words in enumerate(whole.image_words):
        found = probes.patch_lens(session, probe_question(form), (0.1, 0.9), top=3)
        assert found.words[layer][0] == words[token]
    assert len(found.words) == session.num_layers - 1
    read = float(trace.rows[0][:, :, token].mean())
    percent = f"{100 * read:.0f} %" if read >= 0.0995 else f"{100 * read:.1f} %"
    assert percent in html


def probe_question(form):
    return Question(form.image, form.question, form.context).opened()


def test_an_answer_that_did_not_see_the_place_says_so():
    result = ask()
    cells = result.traces["vif"].cells * 0.5
    traces = {**result.traces, "vif": replace(result.traces["vif"], cells=cells)}
    found = probes.PatchLens(0, [["a", "<b>"]], np.array([[0.5, 0.25]]))
    html = lens_html(found, replace(result, traces=traces), (0.9, 0.9))
    assert html.count("does not see this place") == 1
    assert "&lt;b&gt;" in html


@pytest.mark.parametrize(
    "picked",
    [None, [], {}, {"x": 0.5}, {"x": "0.5", "y": 0.5}, {"x": True, "y": 0.5}, {"x": 2, "y": 0.5},
     {"x": float("nan"), "y": 0.5}],
)  # fmt: skip
def test_what_is_not_a_place_is_refused(picked):
    with pytest.raises(InputError, match="two numbers from 0 to 1"):
        lens.place_of(picked)


def test_it_can_be_stopped_and_a_place_beside_all_tokens_is_reported(session, asked):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        lens.lens_of(session, asked, {"x": 0.5, "y": 0.5}, cancel)
    with pytest.raises(InputError, match="never looks there"):
        lens.lens_of(session, asked, {"x": 1, "y": 1}, threading.Event())


def test_a_click_opens_the_tab(session, asked):
    with gr.Blocks() as demo:
        wiring = wiring_of(session)
        place = lens.build_lens()
        lens.connect_lens(place, wiring)
    fn = next(fn for fn in demo.fns.values() if fn.name == "show")
    data = {wiring.key: None, wiring.result: asked}
    steps = list(fn.fn(data, SimpleNamespace(_data={"x": 0.5, "y": 0.5})))
    assert steps[0][wiring.answers.tabs].selected == "lens"
    assert "What it stands for" in steps[-1][place]
    wrong = list(fn.fn(data, SimpleNamespace(_data={"x": 9})))
    assert "two numbers from 0 to 1" in wrong[-1][place]
