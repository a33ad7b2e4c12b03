"""`vif benchmarks`: the published rows, how lmms-eval is called, and the table of results."""

import json
import os

import pytest

from vif.__main__ import build_parser, main
from vif.commands.benchmarks import chosen_rows, command_of
from vif.errors import InputError
from vif.lmms_eval.rows import ROWS
from vif.lmms_eval.table import figure, read_results, table


def parsed(*flags):
    return build_parser().parse_args(["benchmarks", *flags])


def row(name):
    return next(row for row in ROWS if row.name == name)


def test_rows_are_named_once_and_chosen_by_table():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    vif, aif = chosen_rows(["vif"]), chosen_rows(["aif"])
    assert sorted(row.name for row in vif + aif) == sorted(names)
    assert chosen_rows(["all"]) == list(ROWS)
    assert [row.name for row in chosen_rows(["pope", "gqa"])] == ["gqa", "pope"]
    assert row("vqav2").published == {"LLaVA-1.5-7B": 78.5, "VIF": 79.7}


def test_a_dry_run_multiplies_and_runs_nothing(capsys, tmp_path):
    flags = ["--tasks", "gqa", "mme", "--seconds", "0.5", "--methods", "plain", "pai"]
    assert main(["benchmarks", "--dry-run", *flags, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out.splitlines()
    # 12,578 questions of half a second.
    assert shown[1].split() == ["gqa", "12,578", "1.7", "h", "1.7", "h"]
    assert shown[2].split() == ["mme", "2,374", "20", "min", "20", "min"]
    assert shown[3].split() == ["all", "2.1", "h", "2.1", "h"]
    assert not (tmp_path / "out").exists()


def test_lmms_eval_is_called_per_method_with_its_settings():
    args = parsed(
        "--model-path", "some/model", "--adapter", "a", "--set", "pai.alpha=0.3", "--limit", "5",
        "--num-processes", "4", "--tasks", "gqa", "pope", "--python", "py",
    )  # fmt: skip
    command = command_of(args, chosen_rows(args.tasks), "pai")
    assert command[:6] == ["py", "-m", "accelerate.commands.launch", "--num_processes", "4",
                           "--multi_gpu"]  # fmt: skip
    given = command[command.index("--model_args") + 1]
    assert given == "pretrained=some/model,method=pai,adapter=a,seed=0,pai.alpha=0.3"
    assert command[command.index("--tasks") + 1] == "gqa,pope"
    assert command[-2:] == ["--limit", "5"]
    assert "pai.alpha" not in " ".join(command_of(args, ROWS, "plain"))


def write_results(folder, name, results, age):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_results.json"
    path.write_text(json.dumps({"results": results}))
    os.utime(path, (1000 - age, 1000 - age))


def test_results_are_listed_beside_the_published_figures(tmp_path):
    latest = {"gqa": {"alias": "gqa", "exact_match,none": 0.625, "exact_match_stderr,none": "N/A"}}
    write_results(tmp_path / "plain" / "m", "b", latest, age=0)
    older = {"gqa": {"exact_match,none": 0.1}, "mme": {"mme_perception_score,none": 1500.5}}
    write_results(tmp_path / "plain" / "m", "a", older, age=9)
    found = read_results(tmp_path / "plain")
    assert found == {"gqa": {"exact_match": 0.625}, "mme": {"mme_perception_score": 1500.5}}
    assert figure(row("gqa"), found) == 62.5
    assert figure(row("mme"), found) == 1500.5
    assert figure(row("pope"), found) is None
    with pytest.raises(InputError, match="gave no 'pope_accuracy', but other"):
        figure(row("pope"), {"pope": {"other": 1.0}})
    shown = table([row("gqa"), row("vqav2")], {"plain": found})
    assert shown.splitlines()[1].split() == ["GQA", "62.5", "62.0", "62.8"]
    assert "* VQAv2: validation" in shown


def test_without_lmms_eval_it_says_what_to_install(capsys, tmp_path):
    assert main(["benchmarks", "--tasks", "gqa", "--python", str(tmp_path / "none")]) == 2
    assert "cannot be run" in capsys.readouterr().err
