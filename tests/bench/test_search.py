"""Searching for a changed answer: every question that was asked is counted."""

import json
import threading
from dataclasses import replace
from itertools import islice

import pytest

from tests.support.tiny import tiny_session
from vif import bench
from vif.bench.search import BROKEN, FIXED, OTHER, PER_SCENE, relational
from vif.errors import InputError
from vif.scenes import RELATIONAL


class Rigged:
    """A session whose answers are scripted: pairs of (plain, vif) by question number."""

    def __init__(self, script, cancel_at=None):
        self.script, self.inner, self.asked = script, tiny_session(), 0
        self.defaults, self.batches, self.contexts = self.inner.defaults, [], []

    def ask_batch(self, items, methods, settings, cancel=None):
        self.batches.append(len(items))
        self.contexts += [question.context for question in items]
        found = self.inner.ask_batch(items, methods, replace(settings, max_new_tokens=1), cancel)
        truths = list(islice(relational(0), self.asked + len(items)))[self.asked :]
        for i, item in enumerate(truths):
            word = {"right": item.question.answer, "wrong": "wrong", "worse": "worse"}
            for name, kind in zip(methods, self.script(self.asked + i), strict=True):
                found[name][i] = replace(found[name][i], answer=word[kind])
        self.asked += len(items)
        return found


def test_the_first_change_is_found_and_everything_asked_is_counted():
    changes = {5: ("wrong", "right"), 6: ("right", "wrong"), 7: ("wrong", "worse")}
    session = Rigged(lambda i: changes.get(i, ("right", "right")))
    found = bench.find_change(session, batch=4, context="by the way .")
    assert session.batches == [4, 4]
    assert found.asked == 8
    assert found.counts == {FIXED: 1, BROKEN: 1, OTHER: 1}
    assert found.found.kind == FIXED
    assert found.found.item.question == list(islice(relational(0), 6))[5].question
    assert found.found.answers == {"plain": "wrong", "vif": found.found.item.question.answer}
    assert set(session.contexts) == {"by the way ."}


def test_only_wanted_kinds_end_the_search():
    session = Rigged(lambda i: ("wrong", "right") if i == 0 else ("right", "wrong"))
    found = bench.find_change(session, batch=2, kinds=[BROKEN])
    assert found.found.kind == BROKEN
    assert found.counts == {FIXED: 1, BROKEN: 1}


def test_it_ends_at_its_limit_and_says_so():
    session = Rigged(lambda _: ("wrong", "wrong"))
    found = bench.find_change(session, batch=4, limit=6)
    assert session.batches == [4, 2]
    assert (found.asked, found.found, found.counts) == (6, None, {})
    assert found.next_seed == list(islice(relational(0), 6))[-1].scene.seed + 1


def test_a_stop_tells_what_was_asked():
    cancel = threading.Event()
    cancel.set()
    found = bench.find_change(tiny_session(), cancel=cancel, seed=3)
    assert found.cancelled
    assert (found.asked, found.found) == (0, None)
    assert found.next_seed >= 3


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="Unknown kind 'mended'"):
        bench.find_change(tiny_session(), kinds=["mended"])


def test_questions_are_relational_test_questions_with_their_places():
    found = list(islice(relational(40), 30))
    assert {item.question.family for item in found} <= set(RELATIONAL)
    assert all(item.boxes and item.scene.split == "test" for item in found)
    seeds = [item.scene.seed for item in found]
    assert seeds == sorted(seeds)
    assert max(seeds.count(seed) for seed in seeds) <= PER_SCENE


def test_the_rate_is_the_benchmarks(tmp_path):
    session = tiny_session()
    items = bench.items("test", 10, 0, 0)
    results = bench.run(session, items, ["plain", "vif"])
    path = tmp_path / "bench.json"
    path.write_text(json.dumps([{"text": 0, "n": 10, "seed": 0, "methods": results}]))
    rate, found = bench.read_rate(path), results["vif"]
    assert (rate.asked, rate.fixed, rate.broken) == (10, found["fixed"], found["broken"])
    places = [i for i, item in enumerate(items) if item.question.family in RELATIONAL]
    gain = sum(int(found["right"][i]) - int(results["plain"]["right"][i]) for i in places)
    assert (rate.relational, rate.relational_gain) == (len(places), gain)


@pytest.mark.parametrize("content", [None, "{", "[]", '[{"text": 0}]', "[1]"])
def test_without_a_benchmark_there_is_no_rate(tmp_path, content):
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_text(content)
    assert bench.read_rate(path) is None
