import threading

import numpy as np
import pytest

from tests.support.fake_session import FakeSession
from vif.errors import InputError
from vif.ui.actions.change_mixture import ask_again
from vif.ui.state.components import MixtureChanges
from vif.ui.state.result import CHANGED


@pytest.fixture
def mixture(result):
    return result.traces["vif"].mixtures[0]


def changed(mixture, **changes):
    """What the browser sends about a mixture."""
    return {
        "answer": "vif", "layer": mixture.layer, "means": mixture.means.tolist(),
        "sigmas": mixture.sigmas.tolist(), "weights": mixture.weights.tolist(), "muted": [],
        "solo": None, "touched": [],
    } | changes  # fmt: skip


def moved(mixture, index, x, y, **changes):
    means = mixture.means.tolist()
    means[index] = [x, y]
    return changed(mixture, means=means, touched=[index], **changes)


def test_no_change_renders_the_map_that_was_injected(session, image):
    trace = session.ask(image, "what colour", ["vif"], max_new_tokens=2)["vif"]
    for mixture in trace.mixtures:
        found = MixtureChanges.of(mixture).apply(mixture, trace)
        np.testing.assert_allclose(found.map, mixture.map, rtol=1e-5, atol=1e-6)


def test_a_mute_counts_for_nothing_and_the_rest_keep_their_ratios(mixture):
    weights = MixtureChanges.read(changed(mixture, muted=[1]), mixture).heard_weights()
    assert weights[1] == 0
    assert weights.sum() == pytest.approx(1, rel=1e-5)
    assert weights[0] / weights[2] == pytest.approx(
        mixture.weights[0] / mixture.weights[2], rel=1e-5
    )


def test_a_solo_is_heard_even_if_it_is_muted(mixture):
    weights = MixtureChanges.read(changed(mixture, muted=[2], solo=2), mixture).heard_weights()
    assert weights.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


def test_moving_one_component_leaves_the_model_s_own_untouched(result, mixture):
    before = mixture.means.copy()
    changes = MixtureChanges.read(moved(mixture, 0, 0.9, 0.1, solo=0), mixture)
    found = changes.apply(mixture, result.traces["vif"])
    x, y = result.traces["vif"].centres[int(found.map.argmax())]
    assert (x, y) == pytest.approx((0.9, 0.1), abs=1 / 12)
    np.testing.assert_array_equal(mixture.means, before)


def test_numbers_out_of_range_are_clipped_and_untouched_ones_keep_their_precision(mixture):
    data = moved(mixture, 0, 7, -1, sigmas=[0.0] * 8, weights=[9.0] * 8)
    changes = MixtureChanges.read(data, mixture)
    assert changes.means[0].tolist() == [1, 0]
    assert changes.sigmas[0] > 0
    assert changes.weights[0] == 1
    np.testing.assert_array_equal(changes.sigmas[1:], mixture.sigmas[1:])
    assert changes.describe() == "1 changed"


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"means": [[0, 0]]},
        {"means": [[float("nan"), 0.5]] * 8},
        {"sigmas": "wide"},
        {"muted": [8]},
        {"muted": [True]},
        {"solo": -1},
        {"touched": 3},
    ],
)
def test_nonsense_from_the_browser_gives_one_sentence(mixture, broken):
    data = {**changed(mixture), **broken} if broken else broken
    with pytest.raises(InputError, match="undo the changes and try again"):
        MixtureChanges.read(data, mixture)


def test_all_muted_gives_one_sentence(result, mixture):
    data = changed(mixture, muted=list(range(8)))
    with pytest.raises(InputError, match="Every component is muted"):
        ask_again(FakeSession(), result, data, threading.Event())


@pytest.mark.parametrize("data", [None, {}, {"answer": "plain", "layer": 5}, {"answer": ["vif"]}])
def test_a_mixture_that_does_not_exist_gives_one_sentence(result, data):
    with pytest.raises(InputError, match="no mixture to change"):
        ask_again(FakeSession(), result, data, threading.Event())


def test_asking_again_gives_the_changed_map_as_a_place_and_shows_it_beside(result, mixture):
    session, data = FakeSession(), changed(mixture, muted=[0])
    found = ask_again(session, result, data, threading.Event())
    call = session.calls[-1]
    assert call["methods"] == ["look"]
    expected = MixtureChanges.read(data, mixture).apply(mixture, result.traces["vif"]).map
    np.testing.assert_array_equal(call["look"], expected)
    assert list(found.traces) == ["plain", "vif", CHANGED]
    assert "1 muted" in found.traces[CHANGED].meta["changed"]
    assert len(found.traces[CHANGED].mixtures[0].weights) == 8
    again = ask_again(session, found, data, threading.Event())
    assert list(again.traces) == ["plain", "vif", CHANGED]


def test_a_stopped_question_changes_nothing(result, mixture):
    cancel = threading.Event()
    cancel.set()
    assert ask_again(FakeSession(delay=5), result, changed(mixture, muted=[0]), cancel) is None
