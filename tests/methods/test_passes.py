"""What holds for every method that reads, cuts, crops or guides: identity, cost, batches, stop."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.support.asking import (
    FAMILIES,
    noise,
    one,
    passes,
    request_of,
    session_of,
    together_and_alone,
)
from vif import methods
from vif.methods.edits.base import EDITS
from vif.methods.maps.base import MAPS
from vif.methods.prompts import GENERIC
from vif.model.generation import Cancelled

GUIDED = ("pai", "vcd", "inter")
WHOLE_METHODS = ("aif", "carve", "vicrop", *GUIDED)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [*WHOLE_METHODS, *(f"look+{edit}" for edit in EDITS)])
def test_identity_equals_plain(family, name):
    method = methods.find(name)
    settings = {"alpha": 0.0} if name.endswith("mix") else {"options": {name: method.identity}}
    session = session_of(family)
    plain, same = one(session, "plain"), one(session, name, **settings)
    assert same.tokens == plain.tokens
    assert np.allclose(same.logprobs, plain.logprobs, atol=1e-5)
    assert np.allclose(same.rows, plain.rows, atol=1e-5)
    assert np.array_equal(same.cells, plain.cells, equal_nan=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "name", ["aif", "carve", "look+crop", "vicrop", *GUIDED, "dynamics+bias", "contrast+cut"]
)
def test_a_left_padded_batch_equals_single_runs(family, name):
    options = {"inter": {"threshold": 0, "cutoff": 0.01}}
    for many, alone in together_and_alone(session_of(family), name, options=options):
        assert alone.tokens == many.tokens
        assert np.allclose(alone.logprobs, many.logprobs, atol=1e-3)
        assert np.allclose(alone.rows, many.rows, atol=1e-4)
        assert np.allclose(alone.cells, many.cells, equal_nan=True)


@pytest.mark.parametrize(
    "name", [*WHOLE_METHODS, *(f"{where}+cut" for where in MAPS if where != "cls"), "vif+crop"]
)
def test_passes_and_branches_are_declared(name):
    """Three tokens: as many passes of the answer and of each branch."""
    # Its first answers have a length of their own.
    options = {"carve": {"steps": 3}} if name == "carve" else {}
    method, lengths = methods.find(name), passes(session_of("qwen2_5_vl"), name, options=options)
    assert sum(length > 1 for length in lengths) == 1 + method.extra_passes + method.branches
    # AIF reads one token more than the prompt, CARVE two whole answers.
    more = {"aif": 1, "dynamics+cut": 1, "carve": 4}.get(name, 0)
    assert sum(length == 1 for length in lengths) == 2 * (1 + method.branches) + more


def test_a_map_is_read_from_as_few_layers_as_it_needs():
    session, layers = session_of("llava"), []
    handles = [
        block.register_forward_hook(lambda *_, layer=layer: layers.append(layer))
        for layer, block in enumerate(session.backbone.model.get_decoder().layers)
    ]
    try:
        MAPS["relative"].make(request_of(session, {"layer": 14}))
    finally:
        for handle in handles:
            handle.remove()
    assert layers == [0, 1, 2] * 2, "layer 3 is left in the middle, twice"


@pytest.mark.parametrize("name", [*WHOLE_METHODS, "vif+cut", "random+scale"])
def test_runs_repeat_and_leave_nothing_behind(name):
    session = session_of("qwen2_5_vl")
    before = one(session, "plain")
    first, again = (one(session, name) for _ in range(2))
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.logprobs, again.logprobs)
    assert first.meta["notes"] == again.meta["notes"]
    after = one(session, "plain")
    assert np.array_equal(before.rows, after.rows)
    assert np.array_equal(before.logprobs, after.logprobs)


class After(threading.Event):
    """An event that is set after a number of checks."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize(
    ("name", "looks"), [("carve", 1), ("aif", 1), ("answers+cut", 1), ("aif", 3), ("inter", 1)]
)
def test_all_passes_can_be_stopped_between_tokens(name, looks):
    session = session_of("llava")
    before = one(session, "plain")
    with pytest.raises(Cancelled):
        one(session, name, cancel=After(looks))
    assert np.array_equal(before.rows, one(session, "plain").rows)


def test_seconds_include_the_extra_passes(monkeypatch):
    slow = MAPS["uniform"].make

    def wait(request):
        time.sleep(0.2)
        return slow(request)

    monkeypatch.setitem(MAPS, "uniform", replace(MAPS["uniform"], make=wait))
    assert one(session_of("llava"), "uniform+cut").meta["seconds"] > 0.2


def test_an_encoded_image_is_shared_by_the_generic_question():
    request = request_of(session_of("llava"))
    shared = [
        b.inputs["mm_encoder_outputs"] for b in (request.batch, request.with_question(GENERIC))
    ]
    assert shared[0] is shared[1]


def test_concurrent_methods_do_not_change_each_other():
    """All taps are made before the first answer; each answer must equal its own run."""
    session, names = session_of("qwen2_5_vl"), ["plain", "pai", "aif", "look+crop", "vcd"]
    place = [(0.5, 0.4, 0.9, 0.8)]
    together = session.ask(noise(), "where is it ?", names, look=place, max_new_tokens=3)
    for name in names:
        alone = session.ask(noise(), "where is it ?", [name], look=place, max_new_tokens=3)[name]
        assert np.array_equal(alone.rows, together[name].rows)
        assert np.array_equal(alone.logprobs, together[name].logprobs)
