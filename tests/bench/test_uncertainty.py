"""Prior against posterior: the numbers are those of the maps, and a perfect map scores 1."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.support.tiny import tiny_session
from vif.__main__ import main
from vif.bench import items, uncertainty
from vif.bench.uncertainty_table import uncertainty_table
from vif.scenes import GROUP_OF


@pytest.fixture(scope="module")
def found():
    session = tiny_session()
    return uncertainty.measure(session, "test", 4, 3, 2, session.defaults)


def test_everything_is_counted_and_lies_in_its_range(found):
    assert (found["n"], found["ambiguous"]["n"], found["samples"]) == (4, 3, 2)
    for part in (found["pointing"], found["ambiguous"]["pointing"]):
        assert set(part) == set(uncertainty.SIDES)
        for side in part.values():
            assert 0 <= side["share"] <= 1
            assert "difference" not in side or side["difference"] == pytest.approx(
                side["share"] - part["prior"]["share"]
            )
    assert found["kl"] > 0
    assert found["ambiguous"]["both_places"] <= found["ambiguous"]["one_place"]


def test_the_table_shows_every_number(found):
    text = uncertainty_table(found)
    for side in uncertainty.SIDES:
        assert side in text
    assert f"{100 * found['changed']:.1f}" in text
    alone = uncertainty_table(found | {"ambiguous": None})
    assert "two places" not in alone


def test_a_reading_that_knows_the_place_points_there_every_time():
    truths = tuple(np.eye(4)[i : i + 1].sum(0) for i in (1, 2))
    knowing = uncertainty._Reading(
        prior=np.array([0.7, 0.1, 0.1, 0.1]),
        posteriors=(np.array([0.7, 0.1, 0.1, 0.1]),) * 2,
        refined=truths,
        truths=truths,
        kl=(0.1, 0.1),
        spread=0.0,
        scene=0,
    )
    found = uncertainty._pointing([knowing, replace(knowing, scene=1)])
    assert [found[side]["share"] for side in uncertainty.SIDES] == [0, 0, 1]
    assert found["prior x likelihood"]["difference_interval"] == [1, 1]


def test_auroc_is_the_chance_to_rank_a_pair_rightly():
    values, positive = np.array([3.0, 1.0, 2.0, 2.0]), np.array([True, False, True, False])
    # Of four pairs three are ranked rightly and one is a tie.
    assert uncertainty.auroc(values, positive) == pytest.approx((3 + 0.5) / 4)
    assert uncertainty.auroc(-values, positive) == pytest.approx(1 - 3.5 / 4)
    assert uncertainty.auroc(values, np.ones(4, bool)) is None


def test_a_benchmark_of_chosen_families_asks_only_those():
    chosen = items("test", 12, 0, 0, ["odd", "nearest"])
    assert {item.question.family for item in chosen} <= {"odd", "nearest"}
    assert len(chosen) == 12
    assert items("test", 7, 0, 0, tuple(GROUP_OF)) == items("test", 7, 0, 0)


def test_the_command_writes_what_it_prints(tmp_path, capsys, monkeypatch):
    path = tmp_path / "u.json"
    monkeypatch.setattr("vif.commands.uncertainty.load_session", lambda _: tiny_session())
    flags = ["--n", "2", "--ambiguous", "1", "--samples", "1", "--json", str(path)]
    assert main(["uncertainty", *flags]) == 0
    found = json.loads(path.read_text())
    assert uncertainty_table(found) in capsys.readouterr().out


@pytest.mark.parametrize("flags", [["--n", "0"], ["--ambiguous", "-1"], ["--samples", "0"]])
def test_numbers_that_make_no_sense_are_refused_in_one_sentence(flags, capsys):
    assert main(["uncertainty", *flags]) == 2
    assert "expected at least 1, 0 and 1" in capsys.readouterr().err
