"""The benchmark's numbers in README and docs."""

import json

import pytest

from training.reproduce import make_report
from training.reproduce.method_table import NOTHING, method_section, method_table
from training.reproduce.variant_tables import variant_table
from training.reproduce.variants import Variant

ALL, HARD = "all", "fine-grained + grounding"


def found(gain, fixed=0, broken=0, ratio=1.0, extra=(0, 0)):
    return {
        "accuracy": {ALL: 0.5 + gain, HARD: 0.4 + gain},
        "difference": {ALL: gain, HARD: gain},
        "difference_interval": {ALL: [gain - 0.02, gain + 0.02], HARD: [gain - 0.03, gain + 0.03]},
        "fixed": fixed,
        "broken": broken,
        "cost": {"ratio": ratio, "extra_passes": extra[0], "branches": extra[1]},
    }


def beyond(value):
    return {"beyond": {HARD: value}, "beyond_interval": {HARD: [value - 0.01, value + 0.01]}}


@pytest.fixture
def run():
    return {
        "n": 400, "split": "test", "seed": 0, "text": 0,
        "methods": {
            "plain": found(0.0),
            "oracle": found(0.3, 9, 1),
            "pai": found(-0.05, 2, 7, 2.1, (0, 1)),
            "vif": found(0.1, 5, 1, 1.25),
            "vicrop": found(0.02, 3, 2, 3.0, (2, 0)),
        },
        "skipped": {"look": "Method 'look' needs a place."},
        "controls": {"vif": {"uniform": beyond(0.12), "random": beyond(0.13)}},
    }  # fmt: skip


def rows(table):
    return {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for line in table.splitlines()
        if len(cells := line.split("|")) == 10 and not line.startswith("|-")
    }


def test_every_method_has_a_row_with_its_figures(run):
    shown = rows(method_table(run))
    assert shown["vif"] == [
        "60.0", "+10.0 [+8.0, +12.0]", "+10.0 [+7.0, +13.0]", "5 / 1", "1.25",
        "+12.0 [+11.0, +13.0]", "+13.0 [+12.0, +14.0]",
    ]  # fmt: skip
    assert shown["plain"] == ["50.0", "", "", "", "1.00", "", ""]
    assert shown["pai"][3:] == ["2 / 7", "2.10 + 1 b", "", ""]
    assert shown["vicrop"][4] == "3.00 + 2 p"


def test_plain_is_first_controls_last_and_the_rest_by_difference(run):
    assert list(rows(method_table(run))) == ["method", "plain", "vif", "vicrop", "pai", "oracle"]


def test_what_was_not_run_is_named_with_its_reason(run):
    assert "Not run: look. Method 'look' needs a place." in method_table(run)
    assert "later run" not in method_table(run)
    assert "the same answers: pai. Their time" in method_table(run | {"later": ["pai"]})


def test_the_section_says_so_if_nothing_was_run(run, tmp_path):
    assert method_section(tmp_path) == NOTHING
    (tmp_path / "methods.json").write_text(json.dumps([run]))
    assert method_section(tmp_path) == method_table(run)


def test_a_section_is_filled_once_and_nothing_else_is_touched():
    readme = "a\n<!-- methods -->\nold\n<!-- /methods -->\nb\n"
    filled = make_report.fill(readme, {"methods": "new | \\1"})
    assert filled == "a\n<!-- methods -->\nnew | \\1\n<!-- /methods -->\nb\n"
    assert make_report.fill(filled, {"methods": "new | \\1"}) == filled
    with pytest.raises(ValueError, match=r"\['methods'\], expected each once of \['magic'\]"):
        make_report.fill(readme, {"magic": ""})
    with pytest.raises(ValueError, match="expected each once"):
        make_report.fill(readme + readme, {"methods": ""})


def answered(right, pointing=None):
    gain = [float(c) for c in right]
    return {
        "accuracy": {ALL: sum(gain) / len(gain)},
        "interval": {ALL: [0.1, 0.9]},
        "pointing": pointing,
        "right": right,
    }


def write(results, name, n=10, **methods):
    run = {"n": n, "split": "test", "seed": 0, "text": 0, "methods": methods}
    (results / "variants").mkdir(exist_ok=True)
    (results / "variants" / f"{name}.json").write_text(json.dumps([run]))


def test_variants_are_compared_with_plain_and_with_the_first_question_by_question(tmp_path):
    plain = answered("0000011111")
    variants = (
        Variant("shipped", "the adapter", is_shipped=True),
        Variant("lora", "tuned", tunes_model=True),
        Variant("waiting", "not run"),
    )
    assert variant_table(tmp_path, variants) == ""
    oracle = answered("0111111111")
    write(tmp_path, "shipped", plain=plain, vif=answered("0011111111", 0.5), oracle=oracle)
    write(tmp_path, "lora", plain=answered("0000011110"))
    table = variant_table(tmp_path, variants)
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    head, _, base, shipped, lora = cells
    assert head[3:5] == ["less plain", "less shipped"]
    assert base[:3] == ["plain", "the bundled model", "50.0 [10.0, 90.0]"]
    assert (base[3], base[4].split()[0]) == ("", "-30.0")
    assert (shipped[3].split()[0], shipped[4], *shipped[6:]) == ("+30.0", "", "50.0", "90.0")
    # Two scenes of five questions: the interval spans what each of them says alone.
    assert lora[3] == "-10.0 [-20.0, +0.0]"
    assert lora[4] == "-40.0 [-60.0, -20.0]"

    write(tmp_path, "waiting", n=9, vif=answered("1" * 9))
    with pytest.raises(ValueError, match="the same for all"):
        variant_table(tmp_path, variants)
