"""Checkpoints of the published project become adapters, in every file format it writes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.support.published import PREFIX, read_fixture, write
from tests.support.tiny import HIDDEN, NUM_HEADS, NUM_LAYERS, tiny_adapter
from vif.__main__ import main
from vif.adapter import VIFAdapter
from vif.adapter.config import VIFConfig
from vif.adapter.convert import convert_checkpoint, published_config
from vif.errors import InputError


@pytest.fixture(scope="module")
def reference():
    return read_fixture()


@pytest.mark.parametrize(
    "kind",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "model.index.safetensors",
        "model.index.bin",
        "non_lora_trainables.bin",
    ],
)
def test_every_file_format_loads(reference, tmp_path, capsys, kind):
    _, weights, config = reference
    prefix = f"base_model.model.{PREFIX}" if "lora" in kind else PREFIX
    kind = kind.replace(".index.safetensors", ".safetensors.index")
    kind = kind.replace(".index.bin", ".bin.index")
    folder = write(tmp_path / "published", weights, config, kind, prefix)
    assert main(["convert-checkpoint", str(folder), str(tmp_path / "out")]) == 0
    assert "width 32" in capsys.readouterr().out
    state = VIFAdapter.from_pretrained(tmp_path / "out").state_dict()
    assert len(state) == len(weights)
    for name, tensor in weights.items():
        own = name.removeprefix(PREFIX)
        assert torch.equal(state[own if own.startswith("renderer") else f"latent.{own}"], tensor)


def test_parameters_keep_their_type(reference, tmp_path):
    _, weights, config = reference
    halves = {name: tensor.bfloat16() for name, tensor in weights.items()}
    convert_checkpoint(write(tmp_path / "in", halves, config), tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert {file.get_tensor(n).dtype for n in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    adapter = VIFAdapter.from_pretrained(tmp_path / "out")
    assert {p.dtype for p in adapter.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("options", "learning", "injection", "stride"),
    [
        ({}, (10, 16), (24, 30), 2),
        (
            {"latent_learning_start": 11, "latent_learning_end": 17,
             "latent_apply_start": 25, "latent_apply_end": 31},
            (11, 17), (25, 31), 2,
        ),
        ({"latent_l_start": 4, "latent_l_end": 6, "latent_layer_stride": 1}, (4, 6), (29, 31), 1),
        (
            {"latent_learning_start": 8, "latent_learning_end": 2, "latent_layer_stride": 3,
             "latent_start_layer": 20, "latent_end_layer": 99},
            (2, 8), (24, 30), 3,
        ),
        ({"num_hidden_layers": 8, "latent_learning_start": None}, (2, 4), (4, 6), 2),
    ],
)  # fmt: skip
def test_layers_are_resolved_as_the_published_code_does_it(
    reference, options, learning, injection, stride
):
    _, weights, _ = reference
    state = {f"latent.{n.removeprefix(PREFIX)}": t for n, t in weights.items()}
    config = published_config(options, state)
    assert config.stride == stride
    walk = [range(first, last + 1, stride) for first, last in (config.learning, config.injection)]
    assert (walk[0][0], walk[0][-1]) == learning
    assert (walk[1][0], walk[1][-1]) == injection
    assert len(walk[0]) == len(walk[1])
    assert config.num_layers == options.get("num_hidden_layers", 32)


def test_mistakes_give_one_sentence(reference, tmp_path, capsys):
    _, weights, config = reference

    def fails(folder, out="out"):
        assert main(["convert-checkpoint", str(folder), str(tmp_path / out)]) == 2
        shown = capsys.readouterr().err
        assert shown.startswith("error: ")
        assert "Traceback" not in shown
        assert len(shown.splitlines()) == 1
        return shown

    assert "config.json" in fails(tmp_path / "nowhere")
    assert "no weights" in fails(write(tmp_path / "plain", {}, config))
    good = write(tmp_path / "good", weights, config)
    assert "another output folder" in fails(good, "good")
    assert "heads" in fails(write(tmp_path / "heads", weights, config | {"latent_num_heads": 5}))
    short = dict(list(weights.items())[:-1])
    assert "does not fit" in fails(write(tmp_path / "short", short, config))
    broken = write(tmp_path / "broken", weights, config)
    (broken / "model.safetensors").write_bytes(b"not weights")
    assert "cannot be read" in fails(broken)
    pickled = write(tmp_path / "pickled", {}, config, "pytorch_model.bin")
    torch.save({"path": Path}, pickled / "pytorch_model.bin")
    assert "more than tensors" in fails(pickled)
    lost = write(tmp_path / "lost", weights, config, "model.safetensors.index")
    (lost / "part-1.safetensors").unlink()
    assert "missing" in fails(lost)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "other"},
        {"encoder": "published"},
        {"means": "head"},
        {"grid": "endpoint"},
        {"renderer": "exact"},
        {"phase": "decode"},
        {"width": 30, "latent_heads": 4},
    ],
)
def test_an_invalid_configuration_is_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        VIFConfig(HIDDEN, NUM_LAYERS, NUM_HEADS, **changes)


def test_an_adapter_saved_before_there_were_forms_still_loads(tmp_path):
    tiny_adapter().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    new = ("encoder", "means", "grid", "phase", "entropy_weight", "volume_weight")
    path.write_text(json.dumps({k: v for k, v in config.items() if k not in new}))
    loaded = VIFAdapter.from_pretrained(tmp_path)
    assert type(loaded) is VIFAdapter
    assert loaded.config.encoder == "slots"


def test_a_missing_adapter_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="convert-checkpoint"):
        VIFAdapter.from_pretrained(tmp_path)
