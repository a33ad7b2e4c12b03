import threading

import numpy as np
import pytest

from tests.fake_page import VIEW, ask, clicked
from tests.fake_session import FakeSession
from vif.errors import InputError
from vif.ui.actions import changing
from vif.ui.actions import mixture_events as mixing
from vif.ui.actions.changing import CHANGED
from vif.ui.state.components import Changes
from vif.ui.state.result import MixtureView


@pytest.fixture
def result():
    return ask()


@pytest.fixture
def mixture(result):
    return result.traces["vif"].mixtures[0]


def values(result, chosen=None, made=None, shown=8):
    return [result, 0, *VIEW, "vif", 0, shown, chosen, made or {}]


def act(result, made=None, chosen=None, **data):
    index = data.pop("index", 0)
    return mixing.take_component(clicked(index, **data), *values(result, chosen, made))


def test_no_change_renders_the_map_that_was_injected(session, image):
    traces = session.ask(image, "what colour", ["vif", "vif-free"], max_new_tokens=2)
    for trace in traces.values():
        for mixture in trace.mixtures:
            found = Changes.of(mixture).apply(mixture, trace)
            np.testing.assert_allclose(found.map, mixture.map, atol=1e-6, rtol=1e-5)


def test_a_mute_counts_for_nothing_and_the_rest_keep_their_ratios(mixture):
    weights = Changes.of(mixture).mute(1).heard_weights()
    assert weights[1] == 0
    assert weights.sum() == pytest.approx(1, rel=1e-5)
    assert weights[0] / weights[2] == pytest.approx(
        mixture.weights[0] / mixture.weights[2], rel=1e-5
    )
    again = Changes.of(mixture).mute(1).mute(1)
    assert again.is_empty


def test_a_solo_is_heard_even_if_it_is_muted(mixture):
    weights = Changes.of(mixture).mute(2).single_out(2).heard_weights()
    assert weights.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


def test_moving_one_component_leaves_the_model_s_own_untouched(result, mixture):
    before = mixture.means.copy()
    changes = Changes.of(mixture).single_out(0).put(0, x=0.9, y=0.1, sigma=0.03)
    found = changes.apply(mixture, result.traces["vif"])
    x, y = result.traces["vif"].centres[int(found.map.argmax())]
    assert (x, y) == pytest.approx((0.9, 0.1), abs=1 / 12)
    np.testing.assert_array_equal(mixture.means, before)


def test_numbers_out_of_range_are_clipped(mixture):
    changes = Changes.of(mixture).put(0, x=7, y=-1, sigma=0, weight=9)
    assert changes.means[0].tolist() == [1, 0]
    assert changes.sigmas[0] > 0
    assert changes.weights[0] == 1


def test_all_muted_is_one_sentence_and_the_panel_still_draws(result, mixture):
    made = {("vif", 0): Changes.of(mixture)}
    for rank in range(8):
        _, made, html, *_ = act(result, made, index=rank, kind="mute")
    assert "Every component is muted" in html
    shown = mixing.Shown.read(values(result, None, made))
    with pytest.raises(InputError, match="Every component is muted"):
        changing.ask_again(FakeSession(), result, shown.choice, made, threading.Event())


def test_a_drag_moves_the_component_of_that_rank(result, mixture):
    chosen, made, html, x, y, *_ = act(result, index=2, kind="move", x=0.5, y=0.25)
    index = int(np.argsort(-mixture.weights, kind="stable")[2])
    assert made["vif", 0].means[index].tolist() == [0.5, 0.25]
    assert (chosen, x.value, y.value) == (2, 0.5, 0.25)
    assert "Changed by you: 1 changed." in html


@pytest.mark.parametrize("data", [{}, {"x": "0", "y": 1}, {"x": float("nan"), "y": 0.5}])
def test_a_broken_drag_changes_nothing(result, data):
    _, made, *_ = act(result, kind="move", **data)
    assert made["vif", 0].is_empty


def test_typed_numbers_change_the_highlighted_component_only(result, mixture):
    made, _ = mixing.type_numbers(*values(result, 1), 0.4, 0.6, 0.05, 0.2)
    index = int(np.argsort(-mixture.weights, kind="stable")[1])
    assert made["vif", 0].touched == {index}
    assert mixing.type_numbers(*values(result, None), 0.4, 0.6, 0.05, 0.2)[0] == mixing.gr.skip()
    assert mixing.type_numbers(*values(result, 1), None, 0.6, 0.05, 0.2)[0] == mixing.gr.skip()


def test_components_keep_their_numbers_while_they_are_changed(result):
    _, _, html, *_ = act(result, index=0, kind="mute")
    assert html.index('aria-label="Highlight component 1"') < html.index(
        'aria-label="Highlight component 2"'
    )
    assert html.count("vl-muted-component") == 1


def test_undo_brings_the_model_s_own_mixture_back(result):
    _, made, *_ = act(result, index=0, kind="mute")
    made, html, *_ = mixing.undo(*values(result, None, made))
    assert made == {}
    assert "Changed by you" not in html


def test_asking_again_gives_the_changed_map_as_a_place_and_shows_it_beside(result, mixture):
    session = FakeSession()
    made = {("vif", 0): Changes.of(mixture).mute(0)}
    found = changing.ask_again(session, result, MixtureView("vif"), made, threading.Event())
    call = session.calls[-1]
    assert call["methods"] == ["look"]
    expected = made["vif", 0].apply(mixture, result.traces["vif"]).map
    np.testing.assert_array_equal(call["look"], expected)
    assert list(found.traces) == ["plain", "vif", CHANGED]
    assert "1 muted" in found.traces[CHANGED].meta["changed"]
    assert len(found.traces[CHANGED].mixtures[0].weights) == 8
    again = changing.ask_again(session, found, MixtureView("vif"), made, threading.Event())
    assert list(again.traces) == ["plain", "vif", CHANGED]


def test_a_stopped_question_changes_nothing(result, mixture):
    cancel = threading.Event()
    cancel.set()
    session = FakeSession(delay=5)
    assert changing.ask_again(session, result, MixtureView("vif"), {}, cancel) is None
