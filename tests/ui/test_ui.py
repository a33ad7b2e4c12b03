import re
import threading
from itertools import islice
from pathlib import Path

import gradio as gr
import pytest

from tests.support.fake_page import PICTURE, QUESTION, ask, clicked, form, run_of, sent
from tests.support.fake_session import BREAKING, FakeSession
from vif import bundle
from vif.bench.search import relational as relational_items
from vif.errors import InputError
from vif.scenes import RELATIONAL, ask_scene, draw_scene
from vif.ui import build_demo, launch_options
from vif.ui import wiring as events
from vif.ui.actions import fill
from vif.ui.actions.ask import answer
from vif.ui.features.form import Filling
from vif.ui.features.share import save
from vif.ui.panels import inputs
from vif.ui.state.form import Truth
from vif.ui.state.view import View


@pytest.mark.parametrize(("adapter", "steering"), [(True, "vif"), (False, "vif-free")])
def test_the_page_builds_with_and_without_an_adapter(adapter, steering, tmp_path):
    demo = build_demo(FakeSession(adapter=adapter), assets=tmp_path)
    menu = next(b for b in demo.blocks.values() if getattr(b, "elem_id", "") == "methods")
    assert menu.value == ["plain", steering]


def test_only_what_programs_may_call_is_public(tmp_path):
    demo = build_demo(FakeSession(), assets=tmp_path)
    public = [fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"]
    assert public == ["ask", "attenuation", "methods"]


def test_the_page_asks_for_nothing_outside():
    options = launch_options()
    sheets = options["theme"]._stylesheets
    css = "".join(path.read_text(encoding="utf-8") for path in options["css_paths"])
    assert not [sheet for sheet in sheets if sheet.startswith("http")]
    assert "http" not in css
    # SVG's namespace is a name, not an address.
    assert "http" not in options["head"].replace("http://www.w3.org/2000/svg", "")


def test_building_writes_nothing_into_the_sources():
    assert not list(Path(inputs.__file__).parents[1].rglob("*.pyi"))


@pytest.mark.parametrize(("typed", "heard"), [(None, 1), (9999, 8), (-3, 1), (2.5, 2.5)])
def test_a_slider_hears_what_its_box_will_show(typed, heard):
    assert inputs.Slider(1, 8, 4).preprocess(typed) == heard


def test_the_page_has_no_slider_that_fails_on_an_empty_box(tmp_path):
    blocks = build_demo(FakeSession(), assets=tmp_path, model_box=True).blocks.values()
    sliders = [block for block in blocks if isinstance(block, gr.Slider)]
    assert sliders
    assert all(isinstance(slider, inputs.Slider) for slider in sliders)


def test_a_click_on_run_says_that_it_waits_before_it_joins_the_queue(tmp_path):
    demo = build_demo(FakeSession(), assets=tmp_path)
    button = next(b for b in demo.blocks.values() if getattr(b, "elem_id", "") == "run")
    listeners = [fn for fn in demo.fns.values() if (button._id, "click") in fn.targets]
    noting, waiting, running = listeners
    assert "vifStore.ask" in noting.js
    assert "Waiting for the model" in waiting.js
    assert (noting.queue, waiting.queue, running.concurrency_id) == (False, False, "model")


def test_one_method_alone_is_one_card():
    result = ask(chosen=["plain"])
    assert list(result.traces) == ["plain"]
    assert result.others == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": None}, "no picture"),
        ({"question": "  "}, "no question"),
        ({"learning_start": None}, "Learning layers from (learning_start) is empty"),
        ({"stride": 1.5}, "Use every n-th layer (stride) is 1.5, expected a whole number"),
        ({"learning_end": 2.5}, "Learning layers to (learning_end) is 2.5"),
        ({"max_new_tokens": 513}, "a whole number from 1 to 512"),
        ({"max_new_tokens": 0}, "Longest answer (max_new_tokens) is 0"),
        ({"injection_start": 7, "injection_end": 5}, "injection range"),
        ({"learning_end": 99}, "layers 0 to 7"),
        ({"chosen": []}, "No method is chosen"),
        ({"chosen": ["plain", "vif", "pai", "vcd", "act"]}, "5 methods are chosen"),
        ({"chosen": ["look"]}, "Nothing is marked"),
        ({"chosen": ["oracle"]}, "whose place is known"),
    ],
)
def test_every_problem_gives_one_sentence(changes, words):
    with pytest.raises(InputError, match=re.escape(words)):
        ask(**changes)


def test_a_file_that_is_not_an_image_is_named(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(InputError, match=r"notes\.png"):
        ask(image=str(path))


def test_what_hidden_fields_hold_is_not_read():
    session = FakeSession()
    hidden = {"learning_start": None, "injection_end": 99, "stride": 0, "alpha": 0.9}
    result = ask(session, chosen=["plain", "pai"], **hidden)
    assert result.first.meta["injection"] == list(session.defaults.injection)
    assert result.form.settings()["alpha"] == session.defaults.alpha
    with pytest.raises(InputError, match="Learning layers from"):
        ask(session, chosen=["plain", "uniform"], **hidden)


def test_a_stopped_run_gives_no_result():
    cancel = threading.Event()
    cancel.set()
    assert answer(FakeSession(delay=5), form(), [], cancel) is None


def test_the_known_answer_belongs_to_its_question_only():
    truths = [Truth(QUESTION, "red", ((0.1, 0.1, 0.2, 0.2),))]
    assert ask(truths=truths).truth is truths[0]
    assert ask(truths=truths, question="Something else?").truth is None
    about = fill.truths_about(PICTURE, truths)
    assert ask(truths=about).truth is about[0]
    # Another picture was uploaded, and the page has not heard of it yet.
    other = fill.truths_about(fill.scene(1).image, truths)
    assert ask(truths=other).truth is None


def test_a_run_shows_busy_then_everything(wiring):
    run = run_of(wiring)
    busy, done = list(run)
    assert busy[wiring.controls.run].interactive is False
    assert busy[wiring.controls.stop].interactive is True
    assert isinstance(busy[wiring.cancel], threading.Event)
    assert list(done[wiring.result].traces) == ["plain", "vif"]
    assert done[wiring.answers.body].visible is True
    assert done[wiring.controls.message] == ""
    assert set(done) <= set(wiring.run_outputs)
    assert done[wiring.answers.answers].props["data"]["baseline"] == "plain"


def test_a_problem_changes_the_message_and_nothing_else(wiring):
    *_, last = run_of(wiring, image=None)
    assert list(last) == [wiring.controls.message]
    assert 'role="alert"' in last[wiring.controls.message]


def test_an_error_of_the_model_gives_one_sentence_and_is_logged(wiring, caplog):
    *_, last = run_of(wiring, question=BREAKING)
    assert list(last) == [wiring.controls.message]
    assert "asked to break" not in last[wiring.controls.message]
    assert "asked to break" in caplog.text


def test_stop_reaches_the_running_model():
    cancel = threading.Event()
    events.stop(cancel)
    assert cancel.is_set()
    events.stop(None)


def test_a_scene_offers_questions_with_known_places():
    filled = fill.scene(11)
    assert filled.image.size == (192, 192)
    assert 1 <= len(filled.truths) <= fill.SUGGESTIONS
    assert all(0 <= value <= 1 for t in filled.truths for box in t.boxes for value in box)
    assert fill.scene(11).truths[0].question == filled.truths[0].question


def test_a_scene_has_the_question_of_a_search():
    """So that a link to what was found knows the answer."""
    for item in islice(relational_items(3), 6):
        first, *_ = fill.scene(item.scene.seed, item.question.text).truths
        assert (first.question, first.answer) == (item.question.text, item.question.answer)
        assert first.boxes == item.boxes


def test_half_of_the_suggestions_are_relational():
    """Or as many as the scene has: among four objects few relations are clear."""
    relational = asked = 0
    for seed in range(40):
        families = {q.text: q.family for q in ask_scene(draw_scene(seed), seed)}
        filled = fill.scene(seed)
        kinds = [families[truth.question] in RELATIONAL for truth in filled.truths]
        most = sum(family in RELATIONAL for family in families.values())
        assert sum(kinds) >= min(most, len(kinds) // 2)
        assert all(kinds[: sum(kinds)])
        relational, asked = relational + sum(kinds), asked + len(kinds)
    assert relational / asked > 0.45


def test_unrelated_text_has_the_asked_length():
    assert fill.unrelated_text_of(0) == ""
    assert len(fill.unrelated_text_of(64).split()) > 30


def test_a_suggestion_of_another_scene_is_ignored(wiring):
    data = {wiring.truths: [Truth("First?", "red"), Truth("Second?", "blue")]}
    assert Filling(wiring).take_suggestion(data, clicked(1)) == "Second?"
    assert Filling(wiring).take_suggestion(data, clicked(2)) == gr.skip()


@pytest.mark.parametrize("index", [-1, 10**9, None, "0", 1.5, True, [0]])
def test_nonsense_from_the_browser_changes_nothing(wiring, index):
    data = {wiring.truths: [Truth("First?", "red")]}
    assert Filling(wiring).take_suggestion(data, clicked(index)) == gr.skip()
    with pytest.raises(gr.Error):
        Filling(wiring).take_example(clicked(index))


def test_a_new_scene_removes_the_text_of_an_example(wiring):
    update = Filling(wiring).draw_scene()
    assert update[wiring.field("context")] == ""
    assert update[wiring.controls.text_length] == 0
    assert update[wiring.field("question")] == update[wiring.truths][0].question


def test_a_view_is_read_whatever_a_browser_sends(result, wiring):
    good = View(2, 5, 3, True, 0.5, "all", "marked", False, True)
    assert View.read(vars(good)) == good
    bad = {"token": -1, "layer": "x", "head": 1.5, "opacity": float("nan"), "scale": [], "show": 3}
    assert View.read(bad) == View.read(None) == View.read([1]) == View()
    assert events.take_view(sent(layer=3)).layer == 3
    assert wiring.fetch_slice(None, sent(token=0, head="mean")) == gr.skip()
    assert wiring.fetch_slice(result, sent(token=99, head="mean")) == gr.skip()
    assert wiring.fetch_slice(result, sent(token=0, head=99)) == gr.skip()
    assert set(wiring.fetch_slice(result, sent(token=1, head=2)).props["slices"]) == {"1/2"}


def test_a_broken_mixture_from_the_browser_gives_one_sentence(wiring, result):
    *_, last = wiring.ask_again(None, result, sent(answer="vif", layer=5))
    assert list(last) == [wiring.controls.message]
    assert 'role="alert"' in last[wiring.controls.message]


def test_the_zip_goes_as_soon_as_gradio_has_its_own(result, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    steps = save(result, View())
    next(steps)
    (path,) = tmp_path.glob("vif-lens-*/*")
    assert set(bundle.read(path).traces) == {"plain", "vif"}
    assert list(steps) == []
    assert not list(tmp_path.glob("vif-lens-*"))


def test_a_new_result_removes_the_old_zip(wiring):
    a = wiring.answers
    *_, done = run_of(wiring)
    assert a.files in wiring.result_outputs
    assert not done[a.files].visible
