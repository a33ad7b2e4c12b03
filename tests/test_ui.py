import json
import re
import runpy
import threading
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.fake_session import HEADS, LAYERS, FakeSession
from vif.errors import InputError
from vif.trace import Trace
from vif.ui import build_demo, handlers, launch_options, redraw
from vif.ui.cards import answer_cards, empty_cards
from vif.ui.controls import build_controls
from vif.ui.events import Wiring
from vif.ui.examples import example_strip, plan_strip, read_examples
from vif.ui.maps import caption, contact_sheet, heatmaps, role_of
from vif.ui.markup import visible_token
from vif.ui.mixtures import mixture_panel
from vif.ui.results import build_results
from vif.ui.state import MixtureView, Result, Truth, View, coverage

QUESTION = "What colour is the star?"
LONG_TEXT = "word " * 120
VIEW = (7, False, "mean", False, "viridis", 0.6, False)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.full((96, 128, 3), 90, np.uint8)).save(path)
    return str(path)


def form(image, **changes):
    values = {
        "image": image, "question": QUESTION, "context": "", "use_vif": True,
        "learning_start": 3, "learning_end": 4, "injection_start": 5, "injection_end": 7,
        "stride": 1, "alpha": 0.5, "samples": 0, "seed": 0, "max_new_tokens": 32,
    }  # fmt: skip
    return handlers.Form(**(values | changes))


def ask(image, session=None, truths=(), **changes):
    cancel = threading.Event()
    return handlers.answer(session or FakeSession(), form(image, **changes), list(truths), cancel)


@pytest.fixture
def result(picture):
    return ask(picture)


@pytest.fixture
def differing(picture):
    return ask(picture, context=LONG_TEXT)


@pytest.fixture
def wiring():
    session = FakeSession()
    with gr.Blocks():
        controls, results = build_controls(session, []), build_results(session)
        return Wiring(session, controls, results, [], 60)


def clicked(index, **more):
    return SimpleNamespace(_data={"index": index, **more})


# --- the page ---------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", [True, False])
def test_the_page_builds_with_and_without_an_adapter(adapter, tmp_path):
    demo = build_demo(FakeSession(adapter=adapter), assets=tmp_path)
    switch = next(b for b in demo.blocks.values() if getattr(b, "elem_id", "") == "use-vif")
    assert switch.interactive is adapter
    assert bool(switch.info) is not adapter


def test_only_ask_is_public(tmp_path):
    demo = build_demo(FakeSession(), assets=tmp_path)
    public = [fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"]
    assert public == ["ask"]


def test_the_page_asks_for_nothing_outside():
    options = launch_options()
    sheets = options["theme"]._stylesheets
    css = options["css_paths"][0].read_text(encoding="utf-8")
    assert not [sheet for sheet in sheets if sheet.startswith("http")]
    assert "http" not in css


def test_building_writes_nothing_into_the_sources():
    assert not list(Path(handlers.__file__).parent.glob("*.pyi"))


# --- asking -----------------------------------------------------------------------------------


def test_vif_off_asks_the_plain_model_only(picture):
    result = ask(picture, use_vif=False)
    assert list(result.traces) == ["plain"]
    assert result.steered is None
    assert answer_cards(result, View()).count("<article") == 1
    assert heatmaps(result, View()).count("<figure") == 1
    assert "Switch VIF on" in mixture_panel(result, View(), MixtureView())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": None}, "no picture"),
        ({"question": "  "}, "no question"),
        ({"learning_start": None}, "learning start' is empty"),
        ({"stride": 1.5}, "stride' holds 1.5"),
        ({"alpha": None}, "strength is empty"),
        ({"injection_start": 7, "injection_end": 5}, "injection range"),
        ({"learning_end": 99}, "layers 0 to 7"),
    ],
)
def test_every_problem_is_one_sentence(picture, changes, words):
    with pytest.raises(InputError, match=re.escape(words)):
        ask(changes.get("image", picture), **{k: v for k, v in changes.items() if k != "image"})


def test_a_file_that_is_no_image_is_named(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(InputError, match=r"notes\.png"):
        ask(str(path))


def test_a_stopped_run_gives_no_result(picture):
    cancel = threading.Event()
    cancel.set()
    assert handlers.answer(FakeSession(delay=5), form(picture), [], cancel) is None


def test_the_known_answer_belongs_to_its_question_only(picture):
    truths = [Truth(QUESTION, "red", ((0.1, 0.1, 0.2, 0.2),))]
    assert ask(picture, truths=truths).truth is truths[0]
    assert ask(picture, truths=truths, question="Something else?").truth is None


def test_a_run_shows_busy_then_everything(wiring, picture):
    run = wiring.run([], *vars(form(picture)).values(), *VIEW, 6)
    busy, done = list(run)
    assert busy[wiring.controls.run].interactive is False
    assert busy[wiring.controls.stop].interactive is True
    assert isinstance(busy[wiring.cancel], threading.Event)
    assert list(done[wiring.result].traces) == ["plain", "vif"]
    assert done[wiring.results.body].visible is True
    assert done[wiring.controls.message] == ""


def test_a_problem_changes_the_message_and_nothing_else(wiring):
    *_, last = wiring.run([], *vars(form(None)).values(), *VIEW, 6)
    assert list(last) == [wiring.controls.message]
    assert 'role="alert"' in last[wiring.controls.message]


def test_stop_reaches_the_running_model(wiring):
    cancel = threading.Event()
    assert "Stopping" in wiring.stop(cancel)
    assert cancel.is_set()
    wiring.stop(None)


def test_a_scene_offers_questions_with_known_places():
    filled = handlers.scene(11)
    assert filled.image.size == (192, 192)
    assert 1 <= len(filled.truths) <= handlers.SUGGESTIONS
    assert all(0 <= value <= 1 for t in filled.truths for box in t.boxes for value in box)
    assert handlers.scene(11).truths[0].question == filled.truths[0].question


def test_unrelated_text_has_the_asked_length():
    assert handlers.unrelated(0) == ""
    assert len(handlers.unrelated(64).split()) > 30


def test_a_suggestion_of_another_scene_is_ignored(wiring):
    truths = [Truth("First?", "red"), Truth("Second?", "blue")]
    assert wiring.take_suggestion(clicked(1), truths) == "Second?"
    assert wiring.take_suggestion(clicked(2), truths) == gr.skip()


# --- showing ----------------------------------------------------------------------------------


def test_before_the_first_run_the_page_says_what_will_appear():
    assert "answer twice" in empty_cards()


def test_what_a_model_or_a_person_wrote_is_escaped(picture):
    evil = "<img src=x onerror=alert(1)>"
    session = FakeSession(answers={evil: evil})
    result = ask(picture, session, [Truth(evil, evil)], question=evil)
    shown = answer_cards(result, View()) + heatmaps(result, View()) + redraw.notice(evil, True)
    assert "&lt;img src=x" in shown
    assert "<img src=x" not in shown


def test_each_token_is_a_button_with_its_probability(result):
    html = answer_cards(result, View(token=1))
    trace = result.traces["plain"]
    assert html.count('aria-pressed="true"') == 2
    for probability in np.exp(trace.logprobs):
        assert f"<small>{probability:.2f}</small>" in html


def test_the_first_difference_is_marked_in_both_answers(differing, result):
    assert differing.divergence() == 0
    assert answer_cards(differing, View()).count("vl-mark") == 2
    assert "The answers differ" in answer_cards(differing, View())
    assert result.divergence() is None
    assert "vl-mark" not in answer_cards(result, View())


def test_answers_of_unequal_length_differ_at_the_end(result):
    plain, vif = result.traces.values()
    shorter = Trace(**(vars(vif) | {"tokens": vif.tokens[:-1]}))
    assert Result(result.picture, result.thumb, {"plain": plain, "vif": shorter}).divergence() == (
        len(plain.tokens) - 1
    )


def test_a_caption_names_layer_head_and_token(result):
    trace = result.traces["plain"]
    assert caption(trace, View(layer=5)) == f"Layer 5, mean of heads, token 1 “{trace.tokens[0]}”"
    assert caption(trace, View(head=2)).startswith("Mean of all layers, head 2")


def test_a_token_beyond_a_short_answer_is_said_to_be_its_last(result):
    assert "(its last)" in caption(result.traces["plain"], View(token=99))


def test_the_maps_share_one_scale(result):
    html = heatmaps(result, View(layer=6))
    tops = re.findall(r"per image token, 0 – ([\d.]+)\.", html)
    assert len(tops) == 2
    assert tops[0] == tops[1]
    assert "Difference: VIF − plain" in html


def test_the_sheet_shows_every_layer_of_every_answer_with_its_role(result):
    html = contact_sheet(result, View(layer=6))
    assert html.count("data-pick") == 2 * LAYERS
    assert html.count('aria-pressed="true"') == 2
    assert html.count('<em class="vl-key vl-injection">') == 2 * 3
    assert html.count('<em class="vl-key vl-learning">') == 2 * 2


def test_a_stride_leaves_layers_out(picture):
    trace = ask(picture, stride=2).traces["vif"]
    roles = [role_of(trace, layer) for layer in range(LAYERS)]
    assert roles == [[], [], [], ["learning"], [], ["injection"], [], ["injection"]]


def test_the_mixture_shows_the_strongest_components_and_every_head(result):
    html = mixture_panel(result, View(), MixtureView(index=1, shown=3, chosen=2))
    assert html.count('class="vl-component') == 3
    assert html.count("vl-chosen") == 2
    assert html.count("head ") >= HEADS
    assert "Injection layer 6" in html


def test_samples_show_how_unsure_the_map_is(picture):
    assert "How unsure" not in mixture_panel(ask(picture), View(), MixtureView())
    assert "How unsure" in mixture_panel(ask(picture, samples=4), View(), MixtureView())


def test_components_are_round_in_image_coordinates(result):
    html = mixture_panel(result, View(), MixtureView(shown=1))
    ring = r'class="vl-inner" cx="[\d.]+" cy="[\d.]+" rx="([\d.]+)" ry="([\d.]+)"'
    rx, ry = re.search(ring, html).groups()
    height, width = result.picture.shape[:2]
    assert float(rx) / float(ry) == pytest.approx(width / height, rel=0.01)


def test_coverage_is_the_covered_share_of_a_cell():
    cells = np.array([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [np.nan] * 4])
    shares = coverage(cells, ((0.25, 0, 1, 1), (0, 0, 0.1, 0.1)))
    np.testing.assert_allclose(shares, [0.5, 1, 0])


def test_picking_a_token_changes_cards_maps_and_curves(result):
    token, cards, maps, _, curves = redraw.take_token(clicked(1), result, 0, *VIEW)
    assert token == 1
    assert "How sure at token 2" in cards
    assert "token 2" in maps
    assert len(curves.data) == 4


def test_picking_a_layer_shows_it_large(result):
    layer, all_layers, maps, sheet = redraw.take_layer(clicked(3), result, 0, *VIEW)
    assert (layer, all_layers) == (3, False)
    assert "Layer 3, mean of heads" in maps
    assert sheet.count('aria-pressed="true"') == 2


def test_picking_a_component_twice_lets_it_go(result):
    chosen, html = redraw.take_component(clicked(1), result, 0, *VIEW, 0, 4, None)
    assert chosen == 1
    assert "vl-component vl-chosen" in html
    chosen, html = redraw.take_component(clicked(1), result, 0, *VIEW, 0, 4, 1)
    assert chosen is None
    assert "vl-component vl-chosen" not in html


@pytest.mark.parametrize("index", [-1, 10**9, None, "0", 1.5, True, [0]])
def test_nonsense_from_the_browser_changes_nothing(result, index):
    assert redraw.take_token(clicked(index), result, 0, *VIEW)[0] == gr.skip()


def test_before_a_result_no_control_fails():
    assert redraw.draw_maps(None, 0, *VIEW) == (gr.skip(), gr.skip())
    assert redraw.draw_mixture(None, 0, *VIEW, 0, 4, None) == gr.skip()
    assert redraw.take_layer(clicked(0), None, 0, *VIEW)[0] == gr.skip()
    assert redraw.save(None, 0, *VIEW) == (gr.skip(), gr.skip())


@pytest.mark.parametrize("token", [" ", "\n", "", "a b"])
def test_no_token_is_invisible(token):
    assert visible_token(token).strip()


def test_the_plan_marks_both_ranges_and_survives_empty_fields():
    html = plan_strip(8, (3, 4), (5, 7), 1)
    assert html.count("vl-is-learning") == 2
    assert html.count("vl-is-injection") == 3
    assert "vl-is" not in plan_strip(8, (None, 4), (7, 5), 0)


# --- files ------------------------------------------------------------------------------------


def test_the_saved_files_draw_the_map_again(result, monkeypatch):
    paths = {Path(p).name: Path(p) for p in handlers.save_files(result, View(layer=5))}
    assert set(paths) == {"plain.npz", "vif.npz", "answers.json", "picture.png", "redraw.py"}
    again = Trace.load(paths["vif.npz"])
    np.testing.assert_array_equal(again.rows, result.traces["vif"].rows)
    assert set(json.loads(paths["answers.json"].read_text())["answers"]) == {"plain", "vif"}
    monkeypatch.chdir(paths["redraw.py"].parent)
    runpy.run_path("redraw.py")
    assert Image.open(paths["redraw.py"].with_name("map.png")).size == (420, 315)


def test_examples_are_optional_and_a_broken_one_is_left_out(tmp_path, picture):
    assert read_examples(tmp_path) == []
    entries = [
        {"image": picture, "question": "What is <b>this</b>?", "note": "Look"},
        {"image": "gone.png", "question": "?", "note": ""},
    ]
    (tmp_path / "examples.json").write_text(json.dumps(entries))
    found = read_examples(tmp_path)
    assert [example.question for example in found] == ["What is <b>this</b>?"]
    assert "<b>" not in example_strip(found)


# --- the endpoint -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    demo = build_demo(FakeSession(), assets=tmp_path_factory.mktemp("assets"))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield Client(url, verbose=False)
    demo.close()


def test_the_endpoint_answers_with_defaults(client, picture):
    answer = client.predict(image=handle_file(picture), question=QUESTION, api_name="/ask")
    assert set(answer["answers"]) == {"plain", "vif"}
    assert len(answer["attenuation"]["vif"]) == LAYERS
    assert [m["layer"] for m in answer["mixtures"]] == [5, 6, 7]


def test_the_endpoint_takes_every_setting_by_position(client, picture):
    answer = client.predict(
        handle_file(picture), QUESTION, "", ["plain"], 2, 3, 4, 5, 1, 0.3, 8, 0, api_name="/ask"
    )
    assert list(answer["answers"]) == ["plain"]
    assert answer["mixtures"] == []


def test_the_endpoint_tells_what_is_wrong_in_one_sentence(client, picture):
    with pytest.raises(AppError, match="injection range"):
        client.predict(
            handle_file(picture), QUESTION, injection_start=7, injection_end=5, api_name="/ask"
        )


def test_the_endpoint_names_a_file_that_is_no_image(client, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(AppError, match=r"notes\.png"):
        client.predict(handle_file(str(path)), QUESTION, api_name="/ask")
