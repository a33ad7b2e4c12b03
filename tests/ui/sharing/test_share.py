"""A shown result as a link, a command and a program; and opening a link."""

from dataclasses import replace
from html import unescape

import gradio as gr
import pytest

from tests.support.fake_page import ask, filled_in, sent, wiring_of
from tests.support.fake_session import FakeSession
from vif.settings import Settings
from vif.ui.actions import fill
from vif.ui.features.reopen import Reopen, build_reopen, connect_reopen
from vif.ui.features.share import connect_share, save
from vif.ui.sharing import permalink
from vif.ui.sharing.links import link_of, share
from vif.ui.state.view import View

SEED = 12


@pytest.fixture
def scene():
    return fill.scene(SEED)


@pytest.fixture
def result(scene):
    truth = scene.truths[1]
    return ask(image=scene.image, question=truth.question, truths=scene.truths, alpha=0.25)


@pytest.fixture
def wiring():
    with gr.Blocks():
        yield wiring_of()


def opened(reopen, query):
    return reopen.fill_link(sent(query=query))


def test_a_result_about_a_scene_has_a_link_a_command_and_a_program(result):
    found = share(result, View(layer=6), Settings(), [])
    link = permalink.read(found.link[1:], "fake-vlm", Settings(), 8, 0)
    assert (link.scene, link.question) == (SEED, result.form.question)
    assert link.settings == {"alpha": 0.25}
    assert link.view == {"layer": 6}
    assert f"--scene {SEED}" in found.command
    assert f"draw_scene({SEED})" in found.python


def test_an_own_picture_has_none_but_a_command():
    found = share(ask(), View(), Settings(), [])
    assert "save the zip" in found.link
    assert "--image-file picture.png" in found.command


def test_text_of_the_page_is_told_by_its_length(scene):
    question, context = scene.truths[0].question, fill.unrelated_text_of(64)
    shown = ask(image=scene.image, question=question, truths=scene.truths, context=context)
    link = link_of(replace(shown, text_tokens=64), View(), Settings(), [])
    assert (link.text, link.context) == (64, "")
    assert link_of(replace(shown, text_tokens=63), View(), Settings(), []).context == context


def test_a_link_fills_in_the_form_and_shows_its_view(wiring, result):
    reopen = Reopen(wiring)
    query = share(result, View(layer=6, head=2), Settings(), []).link[1:]
    filled = opened(reopen, query)
    assert filled[wiring.field("question")] == result.form.question
    assert filled[wiring.field("alpha")] == 0.25
    assert filled[reopen.linked] == {"layer": 6, "head": 2}
    truth = next(t for t in filled[wiring.truths] if t.question == result.form.question)
    data = filled_in(
        wiring, image=filled[wiring.field("image")], question=truth.question,
        truths=filled[wiring.truths], alpha=0.25,
    )  # fmt: skip
    *_, last = reopen.run_link(data | {wiring.example: None, reopen.linked: filled[reopen.linked]})
    again = last[wiring.result]
    assert {n: t.answer for n, t in again.traces.items()} == {
        n: t.answer for n, t in result.traces.items()
    }
    assert last[wiring.answers.answers].props["view"] == {"layer": 6, "head": 2}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("scene=1&model=other", "made with the model 'other'"),
        ("scene=x", "whole number"),
        ("example=0", "no examples"),
        (None, "must name"),
        ("model=other&q=What", "made with the model 'other'"),
        ("scene=1&q=" + "x" * 9000, "at most 8000"),
    ],
)
def test_a_wrong_link_gives_one_sentence_and_changes_nothing(wiring, query, words):
    reopen = Reopen(wiring)
    filled = opened(reopen, query)
    assert words in unescape(filled.pop(wiring.controls.message))
    assert filled == {reopen.linked: None}


def test_everything_is_connected():
    with gr.Blocks() as demo:
        wiring = wiring_of(FakeSession())
        connect_share(wiring)
        connect_reopen(build_reopen(), wiring)
    handlers = [save, Reopen.fill_link, Reopen.run_link, Reopen.fill_zip, Reopen.show_zip]
    names = [fn.name for fn in demo.fns.values()]
    assert set(names) >= {handler.__name__ for handler in handlers}
    # Once for the result and the tab, once for the view.
    assert names.count("describe") == 2
