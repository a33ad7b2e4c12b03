"""A model by name or folder: placed, quantised, measured, or refused in one sentence."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import DryRunError
from huggingface_hub.file_download import DryRunFileInfo
from transformers import AutoConfig, dynamic_module_utils

from vif import download_size, load
from vif.check import TINY, build
from vif.check.ramp import ramp_image
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.model.checkpoints import loading

# transformers reads their vocabulary its own way, whatever tokenizer was saved.
OWN_TOKENIZER = ("qwen3_5", "qwen3_5_moe")


@pytest.mark.parametrize("family", TINY)
def test_a_saved_model_is_loaded_as_it_was(family, tmp_path):
    model, processor = build(family)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = Backbone.load(tmp_path, device="cpu")
    original = Backbone(model, processor, family)
    if family in OWN_TOKENIZER:
        loaded.processor.tokenizer = processor.tokenizer
    one, other = (b.encode(ramp_image((100, 60)), "what is this ?") for b in (original, loaded))
    assert one.inputs.keys() == other.inputs.keys()
    assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in one.inputs)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.model.state_dict()[name])


def test_dtype_is_what_was_asked_for(tmp_path):
    model, processor = build("llava")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert Backbone.load(tmp_path, device="cpu").model.dtype == torch.float32
    session = load(tmp_path, device="cpu", dtype="bfloat16")
    assert session.backbone.model.dtype == torch.bfloat16
    trace = session.ask(ramp_image((9, 9)), "what is this ?", ["plain"], max_new_tokens=2)["plain"]
    assert trace.meta["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"quantization": "2bit"}, "8bit or 4bit"),
        ({"dtype": "float12"}, "not a number type"),
        ({"dtype": "load"}, "not a number type"),
    ],
)
def test_unknown_settings_are_refused(tmp_path, arguments, words):
    with pytest.raises(InputError, match=words):
        load(tmp_path, **arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no GPU"):
        load(tmp_path, device="cuda")


def test_quantization_without_its_library_names_the_library(tmp_path, monkeypatch):
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install bitsandbytes"):
        load(tmp_path, quantization="4bit")


def test_quantization_is_handed_to_transformers(monkeypatch):
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda _: object())
    assert loading._quantized("8bit")["quantization_config"].load_in_8bit
    assert loading._quantized("4bit")["quantization_config"].load_in_4bit
    assert loading._quantized(None) == {}


def test_gpus_are_shared_out_by_accelerate(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loading._placement(None, None) == {"dtype": "auto", "device_map": "auto"}
    assert loading._placement("cuda", "float16") == {"dtype": "float16", "device_map": "auto"}
    assert loading._placement("cuda:1", None)["device_map"] == "cuda:1"
    assert loading._placement("cpu", None) == {"dtype": "float32"}
    assert loading._placement("cpu:1", None) == {"dtype": "float32"}


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="No vision-language model could be loaded"):
        load(tmp_path)


def test_a_name_that_cannot_be_one_is_refused():
    with pytest.raises(InputError, match="neither a folder nor a Hub name"):
        load("no/such/folder")


def test_an_unreachable_hub_gives_one_sentence(monkeypatch):
    def refuse(*_, **__):
        raise DryRunError("unreachable")

    monkeypatch.setattr(loading, "snapshot_download", refuse)
    with pytest.raises(InputError, match="the Hub cannot be reached"):
        load("someone/some-model")


def test_the_size_counts_what_is_read_and_not_here_yet(monkeypatch):
    sizes = {
        "config.json": 1_000,
        "model-00001-of-00002.safetensors": 5_000_000_000,
        "model-00002-of-00002.safetensors": 4_000_000_000,
        "consolidated.safetensors": 9_000_000_000,
        "pytorch_model.bin": 9_000_000_000,
        "original/model.safetensors": 9_000_000_000,
        "picture.png": 500_000,
    }
    here = "model-00002-of-00002.safetensors"
    files = [
        DryRunFileInfo("0" * 40, size, name, name, name == here, name != here)
        for name, size in sizes.items()
    ]
    monkeypatch.setattr(loading, "snapshot_download", lambda *_, **__: files)
    assert download_size("someone/some-model") == 5_000_001_000


def test_sizes_are_readable():
    readable = [loading.readable_size(size) for size in (14_123_000_000, 9_940_000, 1_200)]
    assert readable == ["14.1 GB", "9.9 MB", "1 kB"]


def test_a_folder_needs_no_download(tmp_path):
    assert download_size(tmp_path) == 0


# --- models that would like to run something ----------------------------------------------------

CODE = """
from pathlib import Path
Path({trap!r}).write_text("ran")
from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
class EvilConfig(LlavaConfig): pass
class Evil(LlavaForConditionalGeneration): pass
class EvilProcessor(LlavaProcessor): pass
"""
AUTO_MAP = {
    "AutoConfig": "evil.EvilConfig",
    "AutoModelForImageTextToText": "evil.Evil",
    "AutoProcessor": "evil.EvilProcessor",
    "AutoImageProcessor": "evil.EvilProcessor",
    "AutoTokenizer": ["evil.EvilProcessor", "evil.EvilProcessor"],
}


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def saved(tmp_path):
    """A saved model, and a file that its code would write."""
    folder, trap = tmp_path / "model", tmp_path / "trap"
    model, processor = build("llava")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "evil.py").write_text(CODE.format(trap=str(trap)))
    return folder, trap


@pytest.mark.parametrize("model_type", ["llava", "evil"])
def test_no_code_of_a_model_is_run(saved, model_type, monkeypatch):
    folder, trap = saved
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(trap.with_name("modules")))
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        edit(folder / name, auto_map=AUTO_MAP)
    edit(folder / "config.json", model_type=model_type)
    if model_type == "llava":
        # What the library knows itself is used instead.
        assert Backbone.load(folder, device="cpu").num_layers
    else:
        with pytest.raises(InputError, match="needs its own code"):
            load(folder, device="cpu")
    assert not trap.exists()
    # The trap works: it is sprung by whoever trusts the model.
    AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert trap.exists()


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_pickle_is_read(saved):
    folder, trap = saved
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    torch.save({"lm_head.weight": Trap(trap)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        load(folder, device="cpu")
    assert not trap.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert trap.exists()


def test_no_pickle_of_low_rank_updates_is_read(saved, tmp_path):
    folder, trap = saved
    updates = tmp_path / "updates"
    updates.mkdir()
    (updates / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(folder)})
    )
    torch.save(Trap(trap), updates / "adapter_model.bin")
    with pytest.raises(InputError, match=r"contains no adapter_model\.safetensors.*never read"):
        load(updates, device="cpu")
    (updates / "adapter_model.safetensors").touch()
    (updates / "adapter_config.json").write_text("[]")
    with pytest.raises(InputError, match="does not name the model"):
        load(updates, device="cpu")
    assert not trap.exists()
