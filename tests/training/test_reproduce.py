"""The whole pipeline at toy size, from nothing to a README, in separate processes."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.reproduce.chain import SMOKE, Chain, Size
from training.reproduce.stages import Stage, run
from training.reproduce.variants import ABLATIONS, CONTROLS, MATCHED
from vif.adapter import VIFAdapter

ROOT = Path(__file__).resolve().parents[2]


def checksums(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def reproduce(work, *flags):
    command = [sys.executable, "-m", "training.reproduce", "--smoke", "--work", str(work), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_whole_chain_runs_and_resumes_where_it_stopped(tmp_path):
    shipped = checksums(ROOT / "assets")
    found = reproduce(tmp_path / "run")
    logs = "\n".join(p.read_text()[-2000:] for p in (tmp_path / "run-smoke/logs").glob("*.log"))
    assert found.returncode == 0, found.stderr + logs
    work = tmp_path / "run-smoke"
    VIFAdapter.from_pretrained(work / "assets/demo-vif")
    (bench,) = json.loads((work / "assets/results/bench.json").read_text())
    shown = f"{100 * bench['methods']['vif']['accuracy']['all']:.1f}"
    assert shown in (work / "README.md").read_text()
    assert checksums(ROOT / "assets") == shipped

    again = reproduce(tmp_path / "run")
    assert again.returncode == 0
    *stages, report = ["done before" in line for line in again.stdout.splitlines()]
    assert len(stages) == len(Chain(Path(), Path(), Path(), SMOKE).main())
    assert all(stages)
    assert not report
    assert (work / "assets/results/logs/demo-vif.jsonl").stat().st_size > 0


def test_a_stage_that_fails_names_its_log_and_is_run_again(tmp_path):
    marker = tmp_path / "marker"
    code = f"import pathlib, sys; sys.exit(not pathlib.Path({str(marker)!r}).exists())"
    stages = [Stage("fragile", (sys.executable, "-c", code))]
    with pytest.raises(SystemExit, match=r"fragile.*fragile\.log"):
        run(stages, tmp_path)
    marker.touch()
    run(stages, tmp_path)
    assert set(json.loads((tmp_path / "timings.json").read_text())) == {"fragile"}


def test_every_variant_changes_something_and_has_files_of_its_own():
    variants = (*CONTROLS, *MATCHED, *ABLATIONS)
    assert len({v.path for v in variants}) == len(variants)
    chain = Chain(Path("w"), Path("a"), Path("r"), Size())
    for variant in variants:
        *training, bench = chain.variants((variant,))
        assert all(flag in training[-1].command for flag in variant.flags)
        assert bench.name == f"variants/{variant.path}"


@pytest.mark.parametrize("has", [True, False])
def test_precision_is_what_the_cpu_has(monkeypatch, has):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    shipped = Chain(Path("w"), Path("a"), Path("r"), Size()).train("x", 3, 2)
    for stage in shipped:
        place = stage.command.index("--bf16")
        assert (stage.command[place + 1] == "False") == (not has)


def test_what_is_shipped_is_trained_without_boxes():
    stages = Chain(Path("w"), Path("a"), Path("r"), Size()).main()
    trained = [stage.command for stage in stages if "training.train_vif" in stage.command]
    assert len(trained) == 2
    for command in trained:
        assert "--box_weight" not in command
        assert command[command.index("--teacher_weight") + 1] == "0.5"
