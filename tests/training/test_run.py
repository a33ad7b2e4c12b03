"""Whole training runs: logged, resumed, distributed over processes, refused in one sentence."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.support.tiny_training import arguments, command
from training.adapter import trainer as trainer_module
from training.train_vif import train
from vif import load
from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.scenes import draw_scene
from vif.settings import Settings
from vif.trace import Trace


@pytest.fixture(scope="module")
def finished(model, data, tmp_path_factory):
    """A complete training run with every option on."""
    output = tmp_path_factory.mktemp("run")
    changes = {"eval_data_path": str(data), "eval_strategy": "steps", "eval_steps": 2}
    changes |= {"trace_steps": 2, "trace_questions": 2, "report_to": "tensorboard"}
    changes |= {"map_steps": 1, "gate_steps": 2, "matrix_optimizer": "muon"}
    train(*arguments(model, data, output, **changes))
    return output


def lines(output):
    return [json.loads(line) for line in (output / "log.jsonl").open()]


def losses(output):
    return {line["step"]: line["loss"] for line in lines(output) if "loss" in line}


def test_the_log_says_what_happened(finished):
    steps = [line for line in lines(finished) if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    # The divergence is that of steps whose latents come from the posterior.
    assert any("kl" in line for line in steps)
    assert not all("kl" in line for line in steps)
    wanted = {"entropy", "volume", "box", "in_box", "alpha", "learning_rate"}
    wanted |= {"tokens_per_second", "samples_per_second", "peak_memory_gb"}
    assert all(wanted <= set(line) for line in steps)
    assert ["lm" in line for line in steps] == [False, True, True, True]
    assert steps[1]["alpha"] == pytest.approx(0.5, abs=1e-3)
    (table,) = next(line["validation"] for line in lines(finished) if "validation" in line).values()
    measures = {"pointing", "posterior_pointing", "kl", "in_box", "entropy", "alpha"}
    assert {"plain", "vif", "oracle"} | measures == set(table)
    assert any("eval_train_vif" in line for line in lines(finished))
    assert list((finished / "runs").rglob("events.out.tfevents*"))


def test_the_adapter_loads_and_answers(finished, model):
    session = load(model, finished)
    assert session.defaults == Settings(learning=(1, 2), injection=(3, 5))
    trace = session.ask(draw_scene(0).image, "What colour is the star?", ["vif"])["vif"]
    assert trace.mixtures[0].means.shape == (2, 2)


def test_traces_of_fixed_questions_show_the_training(finished):
    index = json.loads((finished / "traces" / "index.json").read_text())
    assert [entry["step"] for entry in index["steps"]] == [0, 2, 4]
    assert len(index["questions"]) == 2
    assert all((finished / "traces" / q["image"]).is_file() for q in index["questions"])
    maps = []
    for entry in index["steps"]:
        assert set(entry["traces"]) == {"plain", "vif"}
        trace = Trace.load(finished / "traces" / entry["traces"]["vif"][0])
        assert trace.meta["question"] == index["questions"][0]["question"]
        maps.append(torch.from_numpy(trace.mixtures[0].map))
    assert not torch.allclose(maps[0], maps[2])


def test_an_interrupted_run_continues_to_the_same_weights(finished, model, data, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint-4")
    train(
        *arguments(
            model, data, tmp_path / "run", map_steps=1, gate_steps=2, matrix_optimizer="muon"
        )
    )
    assert losses(tmp_path / "run") == pytest.approx(losses(finished), abs=1e-5)
    ours, theirs = (
        VIFAdapter.from_pretrained(place / "checkpoint-4").state_dict()
        for place in (finished, tmp_path / "run")
    )
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], atol=1e-5), name


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_what_is_tuned_adapter_saves_read_back_and_loads(model, data, tmp_path, tune):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    changes = {"tune": tune, "lora_rank": 2, "max_steps": 3, "save_steps": 2, "lora_dropout": 0.0}
    changes["activation_checkpointing"] = tune == "full"
    train(*arguments(model, data, whole, **changes))
    shutil.copytree(whole, parts)
    shutil.rmtree(parts / "checkpoint-3")
    resumed = train(*arguments(model, data, parts, **changes))
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)
    inner = parts / {"lora": "lora", "full": "model"}[tune]
    session = load(inner, parts)
    ids = torch.arange(5, 12)[None]
    with torch.no_grad():
        found = session.backbone.model(input_ids=ids).logits
        expected = resumed.unwrapped.vlm(input_ids=ids).logits
        before = Backbone.load(model).model(input_ids=ids).logits
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, before, atol=1e-3)


def torchrun(words, processes=1):
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    start = [*start, "-m"] if processes > 1 else ["-m"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *start, "training.train_vif", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_processes_and_accumulation_do_not_change_the_losses(model, data, tmp_path):
    train(*arguments(model, data, tmp_path / "one"))
    each = {"per_device_train_batch_size": 1}
    train(*arguments(model, data, tmp_path / "two", gradient_accumulation_steps=2, **each))
    words = command(*arguments(model, data, tmp_path / "three", **each))
    process = torchrun([*words, "--ddp_backend", "gloo"], processes=2)
    assert process.wait(timeout=300) == 0, process.stdout.read()
    expected = losses(tmp_path / "one")
    assert len(expected) == 4
    assert losses(tmp_path / "two") == pytest.approx(expected, abs=1e-4)
    assert losses(tmp_path / "three") == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_a_process_without_targets_does_not_block_the_others(model, data, tmp_path):
    """Three of six pictures are broken, so that batches of size one are often empty."""
    folder = tmp_path / "scenes"
    shutil.copytree(data.parent, folder)
    for path in sorted(folder.rglob("*.png"))[::2]:
        path.write_bytes(b"no picture")
    each = {"per_device_train_batch_size": 1, "max_steps": 6}
    words = command(*arguments(model, folder / data.name, tmp_path / "run", **each))
    process = torchrun([*words, "--ddp_backend", "gloo"], processes=2)
    assert process.wait(timeout=300) == 0, process.stdout.read()
    assert len(losses(tmp_path / "run")) == 6
    assert "is not an image" in (tmp_path / "run/skipped.jsonl").read_text()


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_losses(model, data, tmp_path):
    whole, killed = (
        arguments(model, data, tmp_path / name, max_steps=30, save_steps=5)
        for name in ("whole", "killed")
    )
    train(*whole)
    process = torchrun(command(*killed))
    while not (tmp_path / "killed" / "checkpoint-5").is_dir():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert max(losses(tmp_path / "killed")) < 30
    train(*killed)
    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "whole"), abs=1e-5)


@pytest.mark.parametrize("failing", ["model.safetensors", "optimizer.pt"])
def test_a_full_disk_leaves_the_last_good_checkpoint(model, data, tmp_path, monkeypatch, failing):
    real_save, real_torch_save, count = trainer_module.save, torch.save, [0]

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def save(*args):
        count[0] += 1
        return (full if failing == "model.safetensors" and count[0] == 2 else real_save)(*args)

    def torch_save(state, path, *args, **kwargs):
        is_second = "checkpoint-4" in str(path) and failing in str(path)
        return (full if is_second else real_torch_save)(state, path, *args, **kwargs)

    monkeypatch.setattr(trainer_module, "save", save)
    monkeypatch.setattr(torch, "save", torch_save)
    with pytest.raises(InputError, match=r"No space left on device.*checkpoint-2 is the last good"):
        train(*arguments(model, data, tmp_path))
    assert sorted(path.name for path in tmp_path.glob("*")) == ["checkpoint-2", "log.jsonl"]
    monkeypatch.undo()
    train(*arguments(model, data, tmp_path))
    assert sorted(losses(tmp_path)) == [1, 2, 3, 4]


def test_a_kill_while_a_checkpoint_is_written_leaves_the_last_good_one(
    model, data, tmp_path, monkeypatch
):
    class Killed(BaseException):
        """No error that the program could answer."""

    real = torch.save

    def torch_save(state, path, *args, **kwargs):
        if "checkpoint-4" in str(path) and "optimizer" in str(path):
            Path(path).write_bytes(b"half of it")
            raise Killed
        real(state, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", torch_save)
    with pytest.raises(Killed):
        train(*arguments(model, data, tmp_path))
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    monkeypatch.undo()
    resumed = train(*arguments(model, data, tmp_path))
    assert resumed.state.global_step == 4
    assert sorted(losses(tmp_path)) == [1, 2, 3, 4]


KILLS_ITSELF = """
import os, signal, torch
from training import train_vif
real = torch.save
def save(state, path, *args, **kwargs):
    real(state, path, *args, **kwargs)
    if "checkpoint-4" in str(path) and "optimizer" in str(path):
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = save
train_vif.main()
"""


@pytest.mark.slow
def test_a_process_killed_in_the_middle_of_a_write_leaves_the_last_good_checkpoint(
    model, data, tmp_path
):
    """`kill -9`: nothing of the program runs any more when half of the optimiser is written."""
    flags = command(*arguments(model, data, tmp_path))
    ended = subprocess.run([sys.executable, "-c", KILLS_ITSELF, *flags], timeout=600, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    assert list((tmp_path / trainer_module.PARTIAL).rglob("optimizer.pt"))
    resumed = train(*arguments(model, data, tmp_path))
    assert resumed.state.global_step == 4
    assert sorted(losses(tmp_path)) == [1, 2, 3, 4]
    assert not list((tmp_path / trainer_module.PARTIAL).rglob("*"))


def test_grouping_by_length_trains(model, data, tmp_path):
    train(
        *arguments(
            model, data, tmp_path, train_sampling_strategy="group_by_length", max_steps=1, bf16=True
        )
    )
    assert list(losses(tmp_path)) == [1]
