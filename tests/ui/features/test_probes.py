import threading

import gradio as gr
import numpy as np
import pytest

from tests.support.fake_page import QUESTION, ask, clicked, wiring_of
from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.probes import PROBES
from vif.probes.sweep import Sweep, best_to_set
from vif.ui.actions.ask import answer
from vif.ui.actions.probe_runs import ProbeOutput, call_of, run_probe
from vif.ui.features import probing
from vif.ui.html.sweep_grid import range_of, sweep_grid
from vif.ui.state.form import Form, Truth


@pytest.fixture
def page():
    with gr.Blocks():
        wiring = wiring_of()
        states = gr.State(None), gr.State([])
    return wiring.answers.probes, wiring, *states


def run_steps(page, kind, kept=(), result=None):
    box, wiring, _, state = page
    data = {
        wiring.key: None, wiring.result: result or ask(), box.kind: kind, box.whose: "vif",
        box.tracked: "",
        state: list(kept),
    }  # fmt: skip
    return probing.probe(*page, data)


def run(page, kind, kept=(), result=None):
    return list(run_steps(page, kind, kept, result))


def swept(count=4):
    change = np.full((count, count), np.nan)
    change[np.triu_indices(count)] = np.linspace(-0.5, 1, len(np.triu_indices(count)[0]))
    return Sweep("vif", "red", -1.0, change, (3, 3), (0, 1))


# --- each probe on a real, tiny model ---------------------------------------------------------


@pytest.mark.parametrize("kind", PROBES)
def test_every_probe_tells_what_it_found_and_its_progress(session, asked, kind):
    news = []
    found = run_probe(session, kind, asked, "vif", progress=lambda *now: news.append(now))
    assert found.words
    assert (found.figure is None) == (kind == "sweep")
    done, total = news[-1]
    assert done == total > 0


@pytest.mark.parametrize("kind", PROBES)
def test_every_probe_can_be_stopped(session, asked, kind):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        run_probe(session, kind, asked, "vif", cancel=cancel)


def test_an_answer_without_a_map_cannot_be_swept(session, asked):
    with pytest.raises(InputError, match="no range to sweep"):
        run_probe(session, "sweep", asked, "plain")


@pytest.mark.parametrize("kind", PROBES)
def test_every_probe_says_the_same_in_a_terminal(session, asked, kind):
    call = call_of(session, asked, "vif")
    probe = PROBES[kind]
    found = probe.run(call)
    assert len(probe.table(found, call).splitlines()) > 2
    assert found.as_json()


# --- the tab ----------------------------------------------------------------------------------


def test_results_stay_newest_first(page, monkeypatch):
    monkeypatch.setattr(probing, "run_probe", lambda *_, **__: ProbeOutput("Seen."))
    _box, _, _, kept = page
    first = run(page, "exit")[-1][kept]
    second = run(page, "exit", first)[-1][kept]
    assert [one.number for one in second][1] == first[0].number
    assert "What colour is the star?" in second[0].source
    assert "fake-vlm" in second[0].source


def test_each_report_of_a_running_probe_is_shown_before_it_goes_on(page, monkeypatch):
    is_shown = [threading.Event(), threading.Event()]

    def report(*_, progress, **__):
        for done, shown in enumerate(is_shown, 1):
            progress(done, 2)
            assert shown.wait(60)
        return ProbeOutput("Seen.")

    monkeypatch.setattr(probing, "run_probe", report)
    box, _, _, kept = page
    news = run_steps(page, "exit")
    assert "has started" in next(news)[box.message]
    for done, shown in enumerate(is_shown, 1):
        assert f"{done} of 2 variants" in next(news)[box.message]
        shown.set()
    assert next(news)[kept][0].found.words == "Seen."


def test_closing_the_page_stops_the_probe(page, monkeypatch):
    cancels = []

    def work(*_, cancel, progress, **__):
        cancels.append(cancel)
        progress(1, 2)
        assert cancel.wait(60)
        raise Cancelled

    monkeypatch.setattr(probing, "run_probe", work)
    news = run_steps(page, "exit")
    next(news)
    next(news)
    news.close()
    assert cancels[0].is_set()


def test_a_problem_or_a_stop_leaves_results_in_place(page, monkeypatch):
    def refuse(*_, **__):
        raise InputError("This cannot be probed.")

    def stop(*_, **__):
        raise Cancelled

    box, _, _, _kept = page
    for kind, work, words in (("exit", refuse, "cannot be probed"), ("heads", stop, "Stopped.")):
        monkeypatch.setattr(probing, "run_probe", work)
        last = run(page, kind)[-1]
        assert list(last) == [box.message]
        assert words in last[box.message]


def test_too_many_results_are_reported_before_anything_runs(page):
    kept = [probing.KeptOutput(i, "", "", ProbeOutput("")) for i in range(probing.MOST_KEPT)]
    news = run(page, "knockout", kept)
    assert len(news) == 1
    assert "remove one first" in news[0][page[0].message]


def test_the_menu_of_maps_is_there_only_for_probes_of_a_map():
    result = ask()
    assert not probing.map_menu("exit", result, None).visible
    menu = probing.map_menu("deletion", result, None)
    assert [value for _, value in menu.choices] == ["plain", "vif"]
    assert menu.value == "vif"
    assert [value for _, value in probing.map_menu("sweep", result, "plain").choices] == ["vif"]


def test_an_answer_about_a_crop_is_not_probed_with_the_full_picture_s_tokens(session, image):
    defaults = session.defaults
    form = Form(
        image, "what colour", "", ["vicrop"], *defaults.learning, *defaults.injection,
        1, 0.5, 0, 0, 2,
    )  # fmt: skip
    result = answer(session, form, [], threading.Event())
    assert result.reads_part("vicrop")
    assert probing.map_menu("deletion", result, None).choices == []
    with pytest.raises(InputError, match="lies on a part of the picture"):
        run_probe(session, "deletion", result, "vicrop")


def test_a_click_on_the_grid_takes_the_range():
    start, end, note = probing.take_range(clicked(2 * 4 + 3), 4)
    assert (start, end) == (2, 3)
    assert "2 to 3" in note
    assert probing.take_range(clicked(99), 4) == (gr.skip(),) * 3


def test_the_grid_has_a_cell_per_range_and_blocks_what_cannot_be_set():
    html = sweep_grid(swept())
    assert html.count("data-pick") == 10
    assert html.count(" disabled ") == 7
    assert html.count("vl-best") == 1
    assert "from −1.00 (blue) to +1.00 (orange)" in html
    assert range_of(2 * 4 + 3, 4) == (2, 3)


def test_the_best_range_that_can_be_set_is_named_too():
    found = swept()
    assert best_to_set(found) == ""
    moved = Sweep("vif", "red", -1.0, found.change, (0, 3), (0, 1))
    assert "layer 3, +1.00" in best_to_set(moved)


def test_the_tracked_answer_is_chosen_and_the_right_one_comes_first(session, asked):
    result = ask(truths=[Truth(QUESTION, "teal")])
    menu = probing.answer_menu("knockout", result, None)
    assert menu.value == "teal"
    assert menu.choices[0] == ("teal (right)", "teal")
    assert len({answer for _, answer in menu.choices}) == len(menu.choices) >= 2
    assert probing.answer_menu("knockout", result, "typed").value == "typed"
    said = asked.traces["vif"].answer
    right = ask(truths=[Truth(QUESTION, said)])
    menu = probing.answer_menu("knockout", right, None)
    assert menu.choices[0] == (f"{said} (right)", said)
    assert menu.value == said
    assert not probing.answer_menu("heads", result, None).visible
    for kind in ("exit", "deletion", "sweep"):
        assert "Tracked: “red”" in run_probe(session, kind, asked, "vif", "red").words
