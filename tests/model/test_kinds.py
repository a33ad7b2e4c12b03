"""Anything but a usable model is refused in one sentence, before anything is downloaded."""

import json

import httpx2
import pytest
import torch
from huggingface_hub.errors import GatedRepoError

from tests.support.asking import session_of
from vif import load, methods
from vif.__main__ import main
from vif.check import build
from vif.errors import InputError
from vif.model import families
from vif.model.checkpoints import kinds, loading
from vif.model.checkpoints.catalogue import CATALOGUE


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "llama"}, "read text only"),
        ({"model_type": "clip"}, "do not answer questions about images"),
        ({"model_type": "none-such"}, "not part of the installed transformers"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "an encoder and a decoder"),
        ({"model_type": "florence2"}, "an encoder and a decoder"),
        ({"model_type": "llama4"}, "not supported yet, because its layers"),
        ({"model_type": "perception_lm"}, "not supported yet, because it cuts the image"),
        ({"model_type": "mllama"}, "no token stands for a place"),
        ({"model_type": "instructblip"}, "no token stands for a place"),
        *(
            ({"model_type": name}, f"need {library}, which (is|are) not installed")
            for name, library in (
                ("cohere2_vision", "torchvision"),
                ("fast_vlm", "timm"),
                ("lfm2_vl", "torchvision"),
                ("molmo2", "torchvision"),
            )
        ),
        (
            {"model_type": "new", "auto_map": {"AutoModel": "new.New"}},
            "code of a model is never run",
        ),
    ],
)
def test_a_checkpoint_of_no_use_is_refused_by_its_configuration(
    tmp_path, config, words, monkeypatch
):
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(kinds, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=words) as refused:
        load(tmp_path, device="cpu")
    assert str(refused.value).startswith(f"{str(tmp_path)!r} cannot be used")
    assert "\n" not in str(refused.value)


def test_a_model_on_the_hub_is_refused_by_its_configuration_alone(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    fetched = []

    def fetch(name, file, **_):
        fetched.append((name, file))
        return str(tmp_path / file)

    monkeypatch.setattr(kinds, "hf_hub_download", fetch)
    monkeypatch.setattr(loading, "download_size", lambda _: 5_000_000)
    with pytest.raises(InputError, match="read text only"):
        load("someone/some-text", device="cpu")
    assert fetched == [("someone/some-text", "config.json")]


@pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
def test_what_a_configuration_does_not_tell_is_left_to_loading(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert kinds.usable_config(str(tmp_path), local_files_only=True) == {}
    with pytest.raises(InputError, match="No vision-language model could be loaded"):
        load(tmp_path, device="cpu")


def test_listed_families_are_usable(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "find_spec", lambda _: True)
    for family in families.FAMILIES:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": family.model_type}))
        assert kinds.usable_config(str(tmp_path), local_files_only=True)


def test_a_model_that_does_not_fit_is_refused_with_both_sizes(tmp_path, monkeypatch):
    for part in build("llava"):
        part.save_pretrained(tmp_path)
    stored = (tmp_path / "model.safetensors").stat().st_size
    monkeypatch.setattr(loading, "_free_memory", lambda _: stored - 1)
    with pytest.raises(InputError, match=r"does not fit: its weights take .* are free"):
        load(tmp_path, device="cpu")
    # Half as many bytes fit.
    assert load(tmp_path, device="cpu", dtype="bfloat16").backbone.model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("dtype", "quantization", "stored_bytes", "fits"),
    [
        ("float32", None, 2, 199),
        ("float32", None, 4, 99),
        ("bfloat16", None, 2, 99),
        ("auto", None, 4, 99),
        ("auto", "8bit", 2, 49),
        ("auto", "4bit", 2, 29),
    ],
)
def test_what_weights_take_depends_on_their_numbers(
    monkeypatch, dtype, quantization, stored_bytes, fits
):
    monkeypatch.setattr(loading, "_weight_bytes", lambda _: 100)
    options = {"dtype": dtype}
    monkeypatch.setattr(loading, "_free_memory", lambda _: fits + 1)
    loading.refuse_too_large("some", options, quantization, stored_bytes)
    monkeypatch.setattr(loading, "_free_memory", lambda _: fits)
    with pytest.raises(InputError, match="does not fit"):
        loading.refuse_too_large("some", options, quantization, stored_bytes)


def test_free_memory_is_above_zero():
    assert loading._free_memory(None) > 1 << 20


def test_the_list_names_families_that_are_known(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    for model in CATALOGUE:
        assert families.find(model.family)
        assert printed.count(model.name) == 1
    assert [model.billions for model in CATALOGUE] == sorted(m.billions for m in CATALOGUE)
    assert main(["models", "--json"]) == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert len(found) == len(CATALOGUE)
    small, large = found["HuggingFaceTB/SmolVLM-256M-Instruct"], found["llava-hf/llava-1.5-7b-hf"]
    assert all(small["runs"].values())
    assert list(large["runs"].values()) == [False, False, True]
    assert (small["lacks"], large["lacks"]) == (["paint", "flowcut", "vflowopt"], [])


@pytest.mark.parametrize(
    "model", {m.family: m for m in CATALOGUE}.values(), ids=lambda model: model.family
)
def test_the_list_names_the_methods_that_do_not_work_with_a_model(model):
    backbone = session_of(model.family).backbone
    found = {
        name
        for name in methods.names()
        if name != "vif" and methods.find(name).obstacle(backbone, None)
    }
    assert found == set(model.lacks) - {"exits", "deletion"}


def test_a_gated_model_is_refused_before_anything_is_downloaded(monkeypatch):
    response = httpx2.Response(403, request=httpx2.Request("GET", "http://hub"))

    def refuse(*_, **__):
        raise GatedRepoError("Access to this model is restricted.", response=response)

    monkeypatch.setattr(loading, "snapshot_download", refuse)
    with pytest.raises(InputError, match=r"accepted its terms: log in with 'hf login'\.$"):
        load("someone/gated-model", device="cpu")
