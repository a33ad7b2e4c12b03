import base64
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.fake_page import ask
from tests.support.fake_session import HEADS, LAYERS, FakeSession
from vif.draw import render
from vif.trace import Trace
from vif.ui.html import answers
from vif.ui.html.answers import answers_html, empty_html, headline, screen_reader_text
from vif.ui.html.strips import plan_strip, suggestion_strip
from vif.ui.html.templates import notice
from vif.ui.html.words import visible_token
from vif.ui.state import payload
from vif.ui.state.form import Truth
from vif.ui.state.payload import opening_layer, payload_of, slice_of
from vif.ui.state.result import Result

LONG_TEXT = "word " * 120
QUESTION = "What colour is the star?"


@pytest.fixture
def differing():
    return ask(context=LONG_TEXT)


def shown(result):
    return answers_html(result, payload_of(result))


def with_trace(result, name, **changes):
    traces = result.traces | {name: Trace(**(vars(result.traces[name]) | changes))}
    return Result(result.picture, traces, result.truth)


def half(text, *shape):
    return np.frombuffer(base64.b64decode(text), "<f2").reshape(shape)


# --- the cards --------------------------------------------------------------------------------


def test_before_the_first_run_the_page_says_what_will_appear():
    assert "both answers appear here" in empty_html()


def test_what_a_model_or_a_person_wrote_is_escaped():
    evil = "<img src=x onerror=alert(1)>"
    session = FakeSession(answers={evil: evil})
    result = ask(session=session, truths=[Truth(evil, evil)], question=evil)
    html = shown(result) + notice(evil, True) + suggestion_strip([evil, evil])
    assert "&lt;img src=x" in html
    assert "<img src=x" not in html


def test_the_headline_says_what_happened(result, differing):
    told = "".join(piece for piece, _ in headline(differing))
    plain, vif = (trace.answer for trace in differing.traces.values())
    assert told == (
        f"Same model, same picture. Without steering, it answers {plain}. Steered to look, "
        f"it answers {vif}."
    )
    assert "".join(p for p, _ in headline(result)).endswith(
        "Steered to look, it gives the same answer."
    )
    assert "".join(p for p, _ in headline(ask(chosen=["plain"]))).startswith("It answers ")
    long = replace(differing.traces["plain"], answer="red " * 50)
    wordy = replace(differing, traces={**differing.traces, "plain": long})
    assert len("".join(p for p, _ in headline(wordy))) < 250
    assert "…. " not in "".join(p for p, _ in headline(wordy))
    assert "… Steered" in "".join(p for p, _ in headline(wordy))


def test_a_screen_reader_hears_both_answers_and_which_is_right():
    truth = Truth(QUESTION, ask().first.answer)
    result = ask(truths=[truth], context=LONG_TEXT)
    plain, vif = (trace.answer for trace in result.traces.values())
    assert screen_reader_text(result) == (
        f"Plain answers {plain}, which is wrong. VIF answers {vif}, which is right."
    )
    assert f'role="status" id="spoken">{screen_reader_text(result)}<' in shown(result)


def test_the_probability_compared_is_that_of_the_same_word(differing):
    plain, vif = differing.traces.values()
    position, word = answers.compared_word(differing)
    assert (position, word) == (0, vif.tokens[0])
    assert answers.probability_of(vif, 0, word) == (pytest.approx(math.exp(vif.logprobs[0])), False)
    listed = dict(plain.alternatives[0])
    assert answers.probability_of(plain, 0, word) == (pytest.approx(listed[word]), False)
    least = min(p for _, p in plain.alternatives[0])
    assert answers.probability_of(plain, 0, "moon") == (pytest.approx(least), True)


def test_the_right_word_is_compared_where_any_answer_looks_at_it(differing):
    plain = differing.traces["plain"]
    other = next(t for t, _ in plain.alternatives[0] if t not in (plain.tokens[0],))
    found = Result(differing.picture, differing.traces, Truth(QUESTION, other))
    assert answers.compared_word(found) == (0, other)


def test_results_carry_their_question_text_and_notes(differing):
    html = answers_html(
        Result(
            differing.picture, differing.traces, None, differing.form, "density", 120,
            "Recorded", "Only scenes.",
        ),
        payload_of(differing),
    )  # fmt: skip
    assert "“What colour is the star?”" in html
    assert "after 120 tokens of unrelated text" in html
    assert "Recorded" in html
    assert html.count('role="note">Only scenes.') == 2


def test_the_first_difference_is_the_first_token_that_differs(differing, result):
    assert differing.divergence("vif") == differing.divergence("plain") == 0
    assert result.divergence("vif") is None


def test_answers_of_unequal_length_differ_at_the_end(result):
    vif = result.traces["vif"]
    shorter = with_trace(result, "vif", tokens=vif.tokens[:-1])
    assert shorter.divergence("vif") == len(vif.tokens) - 1


def test_training_free_vif_is_told_apart_from_vif():
    result = ask(FakeSession(adapter=False), chosen=["plain", "vif-free"])
    html = shown(result)
    assert "Training-free VIF" in html
    assert html.count('class="vl-card vl-vif-free"') == 1


def test_a_small_model_is_warned_about_at_the_answer_of_a_strange_picture():
    session = FakeSession()
    session.name = "demo-vlm"
    assert "trained only on drawn scenes" in ask(session).note
    assert ask(session, [Truth(QUESTION, "red")]).note == ""
    assert ask().note == ""


# --- what the browser draws from ---------------------------------------------------------------


def test_the_payload_holds_every_row_and_is_small(result):
    data = payload_of(result)
    assert len(json.dumps(data)) < 120_000
    for sent in data["answers"]:
        rows = result.traces[sent["name"]].rows
        np.testing.assert_allclose(half(sent["rows"], *rows.shape), rows, rtol=1e-3, atol=1e-6)
        cells = np.frombuffer(base64.b64decode(sent["cells"]), "<f4").reshape(-1, 4)
        np.testing.assert_allclose(cells, result.traces[sent["name"]].cells, rtol=1e-6)
        assert len(sent["share"]) == len(sent["tokens"])
        assert len(sent["share"][0]) == LAYERS
    assert data["heads"] == HEADS
    assert [m["layer"] for m in data["answers"][1]["mixtures"]] == [5, 6, 7]


def test_a_large_model_sends_slices_instead_of_rows(result, monkeypatch):
    monkeypatch.setattr(payload, "MOST_BYTES", 1000)
    data = payload_of(result)
    assert all(sent["rows"] is None for sent in data["answers"])
    assert set(data["slices"]) == {"0/mean"}
    for head in ("mean", "max", 2):
        (maps,) = slice_of(result, 1, head).values()
        for name, trace in result.traces.items():
            found = half(maps[name], LAYERS + 1, -1)
            for layer in (0, 5, None):
                row = LAYERS if layer is None else layer
                expected = render.pick_map(trace.rows, 1, layer, head)
                np.testing.assert_allclose(found[row], expected, rtol=1e-3, atol=1e-6)


def test_it_opens_on_the_injection_layer_that_gains_most_on_target(result):
    truth = Truth(QUESTION, "red", ((0.1, 0.1, 0.4, 0.5),))
    known = Result(result.picture, result.traces, truth)
    layer = opening_layer(known)
    data = {sent["name"]: sent for sent in payload_of(known)["answers"]}
    gains = [data["vif"]["target"][0][i] - data["plain"]["target"][0][i] for i in range(LAYERS)]
    assert layer in (5, 6, 7)
    assert gains[layer] == max(gains[i] for i in (5, 6, 7))
    assert opening_layer(ask(chosen=["plain"])) == LAYERS - 1


def test_a_stride_leaves_layers_out():
    roles = payload_of(ask(stride=2))["roles"]
    assert roles == {"learning": [3], "injection": [5, 7]}


def test_layers_without_attention_are_left_out(result):
    plain = result.traces["plain"]
    rows, mass = plain.rows.copy(), plain.mass.copy()
    rows[:, 2], mass[:, 2] = np.nan, np.nan
    data = payload_of(with_trace(result, "plain", rows=rows, mass=mass))
    assert 2 not in data["attention"]
    assert data["answers"][0]["share"][0][2] is None
    json.dumps(data, allow_nan=False)


def with_sink(result, token=5, share=0.6):
    """The plain answer with one token that draws most of the look in every layer and head."""
    plain = result.traces["plain"]
    rows = plain.rows * (1 - share)
    rows[..., token] += share * plain.rows.sum(-1)
    return with_trace(result, "plain", rows=rows)


def test_sinks_are_found_in_the_answer_that_others_are_compared_with(result):
    assert not result.sinks("plain", 0)[5]
    for sent in payload_of(with_sink(result))["answers"]:
        assert sent["sinks"][0] == [5]


def test_an_answer_that_read_other_tokens_is_sent_with_its_own(result):
    vif = result.traces["vif"]
    kept = slice(0, 72)
    parts = {k: getattr(vif, k)[kept] for k in ("centres", "cells", "blocks")}
    truth = Truth("?", "red", ((0.2, 0.2, 0.4, 0.4),))
    mixed = with_trace(result, "vif", rows=vif.rows[..., kept], mixtures=[], **parts)
    data = payload_of(Result(mixed.picture, mixed.traces, truth))
    sizes = [len(base64.b64decode(sent["cells"])) for sent in data["answers"]]
    assert sizes == [144 * 16, 72 * 16]


# --- small things -----------------------------------------------------------------------------


@pytest.mark.parametrize("token", [" ", "\n", "", "a b"])
def test_no_token_is_invisible(token):
    assert visible_token(token).strip()


def test_the_plan_marks_both_ranges_and_survives_empty_and_broken_fields():
    html = plan_strip(8, (3, 4), (5, 7), 1)
    assert html.count("vl-is-learning") == 2
    assert html.count("vl-is-injection") == 3
    assert "vl-is" not in plan_strip(8, (None, 4), (7, 5), 0)
    assert "vl-is-learning" not in plan_strip(8, (2.5, 4), (5, 7), 1)


def test_the_plan_looks_at_no_more_than_the_model_s_layers():
    html = plan_strip(8, (-(10**12), 10**12), (5, 10**12), 2)
    assert html.count("vl-is-learning") == 4
    assert html.count("vl-is-injection") == 2
