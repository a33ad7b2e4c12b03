import re
import threading

import gradio as gr
import pytest

from tests.support.fake_page import filled_in, run_of, wiring_of
from tests.support.fake_session import FakeSession
from vif.errors import InputError
from vif.settings import Settings
from vif.ui import build_demo
from vif.ui.features import model_box
from vif.ui.features.form import Filling
from vif.ui.state.shelf import Shelf
from vif.ui.theme import html_block


class DeepSession(FakeSession):
    name = "deep-vlm"
    num_layers = 32

    def __init__(self):
        super().__init__(adapter=False)
        self.defaults = Settings(learning=(11, 17), injection=(25, 31))


def shelf_of(load, most=2, size=0):
    return Shelf(FakeSession(), most, load, lambda _: size)


@pytest.fixture
def page():
    with gr.Blocks():
        title = html_block()
        wiring, box = wiring_of(), model_box.build_model_box()
        wiring.shelf = shelf_of(lambda *_, **__: DeepSession(), size=14_100_000_000)
        model_box.connect_model_box(box, wiring, title)
    return box, wiring, title


def typed(page, name="some/model", adapter="", cancel=None, chosen=("vif", "plain", "pai")):
    box, wiring, _ = page
    return {
        box.name: name, box.adapter: adapter, wiring.cancel: cancel,
        wiring.field("chosen"): list(chosen),
    }  # fmt: skip


def load(page, **changes):
    return list(model_box.load(*page, typed(page, **changes)))


# --- the shelf --------------------------------------------------------------------------------


def test_only_the_models_used_last_are_kept():
    shelf = shelf_of(lambda *_, **__: DeepSession())
    a, b = (shelf.begin(name, "").result() for name in ("a/a", "b/b"))
    shelf.get(a)
    c = shelf.begin("c/c", "").result()
    assert shelf.get(a) is not shelf.get(c)
    with pytest.raises(InputError, match=r"b/b was unloaded .* load it again\."):
        shelf.get(b)
    assert shelf.get(None) is shelf.own


def test_a_model_that_is_here_is_not_loaded_again():
    loaded = []

    def count(name, adapter, progress):
        loaded.append((name, adapter))
        return DeepSession()

    shelf = shelf_of(count)
    keys = [shelf.begin(*typed).result() for typed in ((" a/a ", ""), ("a/a", None), ("a/a", "x"))]
    assert keys[0] == keys[1] != keys[2]
    assert loaded == [("a/a", None), ("a/a", "x")]


def test_looking_up_tells_the_download(tmp_path):
    assert shelf_of(None, size=14_100_000_000).look_up("a/a") == "Loading a/a downloads 14.1 GB."
    assert "already on this machine" in shelf_of(None).look_up("a/a")
    (tmp_path / "config.json").write_text("{}")
    assert "nothing is downloaded" in shelf_of(None, size=9).look_up(str(tmp_path))


@pytest.mark.parametrize("name", ["", "  ", None])
def test_no_name_is_a_problem_and_not_this_folder(name):
    for act in (shelf_of(None).look_up, lambda n: shelf_of(None).begin(n, "")):
        with pytest.raises(InputError, match="No model is named"):
            act(name)


def test_a_folder_without_a_model_is_a_problem(tmp_path):
    with pytest.raises(InputError, match=r"config\.json is missing"):
        shelf_of(None).look_up(str(tmp_path))


# --- the box ----------------------------------------------------------------------------------


def test_the_page_has_the_box_only_where_it_is_asked_for(tmp_path):
    def has_box(**options):
        blocks = build_demo(FakeSession(), tmp_path, **options).blocks.values()
        return any(getattr(block, "elem_id", "") == "model-box" for block in blocks)

    assert has_box(model_box=True)
    assert not has_box()


def test_everything_follows_the_loaded_model(page):
    _, wiring, title = page
    last = load(page)[-1]
    assert "deep-vlm" in last[title]
    assert "32 layers" in last[title]
    names = ("learning_start", "learning_end", "injection_start", "injection_end")
    assert [last[wiring.field(name)] for name in names] == [11, 17, 25, 31]
    assert last[wiring.field("chosen")].value == ["vif-free", "plain", "pai"]
    assert last[wiring.controls.plan].count('<i class="vl-cell') == 2 * 32
    assert last[wiring.result] is None
    assert last[wiring.answers.body].visible is False
    assert last[wiring.answers.answers].props["data"] is None


def test_the_first_model_comes_back_without_a_reload(page):
    box, wiring, title = page
    assert load(page)[-1][box.back].visible
    back = model_box.updates_for_model(wiring, title, wiring.session, ["plain", "vif-free"])
    assert "fake-vlm" in back[title]
    assert back[wiring.field("chosen")].value == ["plain", "vif"]
    assert back[wiring.result] is None


def test_a_tab_asks_its_own_model_and_the_page_s_own_stays(page):
    _, wiring, _ = page
    key = load(page)[-1][wiring.key]
    *_, mine = run_of(wiring, key, chosen=["plain", "vif-free"])
    *_, other = run_of(wiring)
    assert list(mine[wiring.result].traces) == ["plain", "vif-free"]
    assert list(other[wiring.result].traces) == ["plain", "vif"]
    assert Filling(wiring).draw_plan(filled_in(wiring, key)).count('<i class="vl-cell') == 2 * 32


def test_a_model_that_was_unloaded_is_reported_when_it_is_asked(page):
    _, wiring, _ = page
    *_, last = run_of(wiring, ("gone/gone", ""))
    assert "gone/gone was unloaded" in last[wiring.controls.message]
    data = filled_in(wiring, ("gone/gone", ""), context="two words")
    assert "2 tokens before the question" in Filling(wiring).count_text(data)


def test_loading_tells_size_and_time_and_stops_the_running_answer(page):
    box, wiring, _ = page
    go, cancel = threading.Event(), threading.Event()
    wiring.shelf = shelf_of(lambda *_, **__: go.wait(60) and DeepSession(), size=14_100_000_000)
    news = model_box.load(*page, typed(page, cancel=cancel, chosen=["plain"]))
    first = next(news)
    assert re.search(r"downloads 14.1 GB\. Loading for \d+ s\.", first[box.message])
    assert first[box.load].interactive is False
    assert first[wiring.controls.run].interactive is False
    assert cancel.is_set()
    go.set()
    assert "deep-vlm is loaded" in list(news)[-1][box.message]


def test_a_download_tells_bytes_and_time_left(page):
    box, wiring, _ = page
    told, go = threading.Event(), threading.Event()

    def arrive(name, adapter, progress):
        progress(2_000_000_000, 8_000_000_000)
        told.set()
        go.wait(30)
        progress(8_000_000_000, 8_000_000_000)
        return DeepSession()

    wiring.shelf = shelf_of(arrive, size=8_000_000_000)
    news = model_box.load(*page, typed(page))
    next(news)
    assert told.wait(30)
    words = next(news)[box.message]
    assert "2.0 GB of 8.0 GB downloaded, about " in words
    assert " left." in words
    go.set()
    assert "deep-vlm is loaded" in list(news)[-1][box.message]
    # Finished downloads are forgotten.
    assert wiring.shelf.arrived("some/model", "") is None


def test_the_bundled_model_can_be_chosen_by_its_name():
    asked = []
    shelf = shelf_of(lambda name, **_: asked.append(name) or DeepSession())
    assert "nothing is downloaded" in shelf.look_up("demo-vlm")
    shelf.begin("demo-vlm", "").result()
    assert asked == [None]


def test_the_menu_lists_what_may_be_loaded():
    with gr.Blocks():
        own = model_box.build_model_box([("a/b", "c/d")], takes_any=False)
        any_model = model_box.build_model_box()
    assert own.name.choices == [("a/b", "a/b")]
    assert not own.name.allow_custom_value
    assert not own.adapter.visible
    labels = {value: label for label, value in any_model.name.choices}
    assert labels["Qwen/Qwen3-VL-2B-Instruct"] == "Qwen/Qwen3-VL-2B-Instruct, 4.2 GB, apache-2.0"
    assert "gated" in labels["google/gemma-3-4b-it"]
    assert any_model.name.allow_custom_value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("There is no such model: check the spelling."), "no such model"),
        (OSError("a secret path"), "The model could not be loaded"),
    ],
)
def test_a_failure_gives_one_sentence_and_changes_nothing_else(page, error, words, caplog):
    box, wiring, _ = page

    def fail(*_, **__):
        raise error

    wiring.shelf = shelf_of(fail)
    last = load(page)[-1]
    assert list(last) == [box.message]
    assert words in last[box.message]
    assert 'role="alert"' in last[box.message]
    assert "secret" not in last[box.message]
    assert ("secret" in caplog.text) is isinstance(error, OSError)


def test_a_hub_that_cannot_be_reached_is_reported_before_loading(page):
    box, wiring, _ = page

    def unreachable(_):
        raise InputError("The Hub cannot be reached.")

    wiring.shelf = Shelf(FakeSession(), load=None, size=unreachable)
    assert "cannot be reached" in load(page)[-1][box.message]
    assert "cannot be reached" in model_box.look_up(wiring, "a/a")
