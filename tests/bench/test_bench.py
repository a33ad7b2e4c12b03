"""The benchmark: its counts, its cost, and its controls at matched visual mass."""

import json

import numpy as np
import pytest
import torch

from tests.support.tiny import NUM_LAYERS, tiny_session
from vif import bench
from vif.__main__ import main
from vif.bench import running
from vif.bench.controls import MatchedControl, gives_more_image, matched_strength
from vif.bench.outcomes import Outcome, by_pointing
from vif.bench.tables import by_place
from vif.methods import Request
from vif.methods.maps.base import MAPS
from vif.model.batch import Batch
from vif.session import Session


@pytest.fixture(scope="module")
def session():
    return tiny_session()


def without_cost(run):
    return {name: {k: v for k, v in found.items() if k != "cost"} for name, found in run.items()}


def rig(monkeypatch, session, change):
    """Changes every trace by a function of (method's place, question's number, trace)."""
    real, asked_before = session.ask_batch, [0]

    def rigged(asked, methods, settings):
        found = real(asked, methods, settings)
        for k, traces in enumerate(found.values()):
            for i, trace in enumerate(traces):
                change(k, asked_before[0] + i, trace)
        asked_before[0] += len(asked)
        return found

    monkeypatch.setattr(session, "ask_batch", rigged)


def test_bench_repeats_and_seeds_draw_fresh_scenes(session):
    first, again, other = (bench.items("test", 8, seed, 0) for seed in (0, 0, 1))
    assert [i.question for i in first] == [i.question for i in again]
    assert [i.question for i in first] != [i.question for i in other]
    runs = [without_cost(bench.run(session, first, ["plain", "random"])) for _ in range(2)]
    assert runs[0] == runs[1]


def test_bench_counts_what_methods_fix_and_break(monkeypatch):
    session, items = tiny_session(), bench.items("test", 10, 0, 0)

    def answer(k, i, trace):
        right = i % 2 == 0 if k == 0 else i < 8
        object.__setattr__(trace, "answer", items[i].question.answer if right else "wrong")

    rig(monkeypatch, session, answer)
    found = bench.run(session, items, ["plain", "uniform"])
    assert np.isclose(found["plain"]["accuracy"]["all"], 0.5)
    assert np.isclose(found["uniform"]["accuracy"]["all"], 0.8)
    assert np.isclose(found["uniform"]["difference"]["all"], 0.3)
    assert (found["uniform"]["fixed"], found["uniform"]["broken"]) == (4, 1)
    assert found["plain"]["right"] == "1010101010"
    assert found["uniform"]["right"] == "1111111100"
    assert found["plain"]["agree"] == 1
    assert np.isclose(found["uniform"]["agree"], 0.5)


def test_answers_are_split_by_where_the_map_points():
    items = [i for i in bench.items("test", 60, 0, 0) if i.question.group != "general"][:12]
    easy = [i for i in bench.items("test", 60, 0, 0) if i.question.group == "general"][:3]

    def outcomes(right, pointing):
        rest = {"share": np.ones(2), "in_box": None, "seconds": 1.0}
        pairs = zip(right, pointing, strict=True)
        return [Outcome("", bool(r), p, **rest) for r, p in pairs]

    pointing = [True] * 4 + [False] * 5 + [None] * 3 + [True] * 3
    found = outcomes([1, 1, 1, 0] + [1] + [0] * 4 + [1] * 6, pointing)
    plain = outcomes([1, 0, 0, 0] + [1, 1, 0, 0, 0] + [0] * 6, [None] * 15)
    split = by_pointing(found, {"plain": plain, "vif": found}, [*items, *easy])
    assert split == {
        "in_box": {"n": 4, "accuracy": {"plain": 0.25, "vif": 0.75}},
        "elsewhere": {"n": 5, "accuracy": {"plain": 0.4, "vif": 0.2}},
    }
    rows = by_place({"plain": {}, "vif": {"by_pointing": split}})
    assert rows[1] == ["vif points into a true box", "4", "25.0", "75.0"]
    always = outcomes([1] * 15, [True] * 15)
    assert by_pointing(always, {"vif": always}, [*items, *easy]) == {}


def test_cost_is_a_ratio_within_a_batch_and_one_slow_batch_does_not_move_it(monkeypatch):
    session, items = tiny_session(), bench.items("test", 10, 0, 0)
    monkeypatch.setattr(running, "BATCH_SIZE", 2)

    def time(k, i, trace):
        load = 10 ** (i // 2)  # what else the machine does, different in every batch
        slow = 50 if (k, i // 2) == (1, 3) else 1
        trace.meta["seconds"] = load * slow * (1 if k == 0 else 3)

    rig(monkeypatch, session, time)
    found = bench.run(session, items, ["plain", "random"])
    assert found["plain"]["cost"]["ratio"] == 1
    assert found["random"]["cost"]["ratio"] == 3
    assert found["random"]["cost"]["extra_passes"] == 0  # it moves the adapter's mixture
    assert found["plain"]["cost"]["branches"] == 0


def test_all_leaves_nothing_out_without_a_reason():
    session = Session(tiny_session().backbone)
    items = bench.items("test", 2, 0, 0)
    names = ["plain", "vif", "uniform", "look"]
    able, reasons = bench.supported(session, items, names, session.defaults)
    assert able == ["plain", "uniform"]
    assert set(reasons) == {"vif", "look"}
    assert "adapter" in reasons["vif"]


def test_matched_strength_lifts_one_share_to_the_other():
    base, share = np.array([0.1, 0.5, 0.9, 0.4]), np.array([0.55, 0.5, 0.8, 1.0])
    strength = matched_strength(share, base)
    assert np.allclose(strength, [0.5, 0, 0, 1])
    lifted = (1 - strength) * base + strength
    assert np.allclose(lifted, [0.55, 0.5, 0.9, 1.0])  # what was lowered is left alone


def test_a_method_that_gives_no_more_image_in_all_has_no_controls():
    base = [0.1, 0.9, 0.9]
    assert gives_more_image([0.1, 0.95, 0.92], base)
    assert not gives_more_image(base, base)
    assert not gives_more_image([0.2, 0.8, 0.8], base)  # one layer up, the others down


@pytest.mark.parametrize("control", ["uniform", "random"])
def test_a_control_in_the_last_layer_reaches_the_share_exactly(session, control):
    """No earlier layer is changed, so the increase is the one that was measured."""
    items = bench.items("test", 4, 0, 0)
    base = bench.run(session, items, ["plain"])["plain"]["share"]
    wanted = [*base[:-1], 0.97]
    method = MatchedControl("some", control, matched_strength(wanted, base))
    asked = [q.as_question for q in items]
    traces = session.ask_batch(asked, [method])[f"some/{control}"]
    share = np.mean([trace.mass[0, :, :, 0].mean(1) for trace in traces], 0)
    assert np.allclose(share, wanted, atol=2e-4)


def request(session, items, seed=0):
    prompts = [session.backbone.encode(q.scene.image, q.question.text) for q in items]
    settings = session.defaults.__class__(**{**vars(session.defaults), "seed": seed})
    batch = Batch.make(session.backbone, prompts)
    return Request(batch, settings, session.backbone, images=[q.scene.image for q in items])


def test_the_random_map_depends_on_question_and_seed_but_not_on_the_batch(session):
    items = bench.items("test", 6, 0, 0)
    random_map = MAPS["random"].make
    maps = random_map(request(session, items))
    assert torch.allclose(maps.sum(1), torch.ones(6))
    assert torch.equal(random_map(request(session, items[3:])), maps[3:])
    assert len({tuple(row.tolist()) for row in maps}) == 6
    assert not torch.allclose(random_map(request(session, items, seed=1)), maps)
    even = MAPS["uniform"].make(request(session, items))
    assert torch.allclose(even, torch.full_like(even, 1 / even.shape[1]))


def test_controls_are_paired_with_their_method(session):
    items = bench.items("test", 12, 0, 0)
    found = bench.run(session, items, ["plain", "oracle"])
    controls = bench.run_controls(session, items, found, ["plain", "oracle"])
    assert list(controls) == ["oracle"]  # plain lifts nothing
    strength = np.array(controls["oracle"]["strength"])
    assert (strength[3:] > 0.2).all()
    assert (strength[:3] == 0).all()  # the oracle, too, is injected into layers 3 to 5
    for control in ("uniform", "random"):
        made = controls["oracle"][control]
        gap = found["oracle"]["accuracy"]["all"] - made["accuracy"]["all"]
        assert np.isclose(made["beyond"]["all"], gap, atol=1e-4)
        assert np.allclose(made["share"], found["oracle"]["share"], atol=0.1)
    assert bench.run_controls(session, items, found, ["plain"]) == {}


def test_the_command_prints_a_line_per_method_and_keeps_everything(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("vif.commands.bench.load_session", lambda args: tiny_session())
    path = tmp_path / "methods.json"
    flags = ["--n", "2", "--methods", "all", "--controls", "vif", "--json", str(path)]
    assert main(["bench", *flags]) == 0
    (run,) = json.loads(path.read_text())
    assert "look" in run["skipped"]
    assert {"plain", "vif", "vif-free", "oracle"} <= set(run["methods"])
    assert next(iter(run["methods"])) == "plain"
    assert list(run["controls"]) == ["vif"]
    assert len(run["controls"]["vif"]["strength"]) == NUM_LAYERS
    shown = capsys.readouterr().out
    overview = shown.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in overview[1:]] == list(run["methods"])
    assert max(map(len, overview)) < 160
    assert "not run: look: " in shown
    assert "at matched visual mass" in shown


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods", "magic"], "Unknown method 'magic'"),
        (["--methods", "plain", "--controls", "vif"], "--controls names 'vif'"),
        (["--methods", "all", "--set", "vif.magic=1"], "no setting 'magic'"),
    ],
)
def test_a_mistake_gives_one_sentence(monkeypatch, capsys, flags, words):
    monkeypatch.setattr("vif.commands.bench.load_session", lambda args: tiny_session())
    assert main(["bench", "--n", "2", *flags]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""
