"""A checkpoint of the published project to an adapter of this one.

Its language model was tuned with the generator and is not converted: only the generator is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import LlamaConfig

from vif.adapter.base import VIFAdapter, build
from vif.adapter.config import VIFConfig
from vif.errors import InputError

# What comes before a generator's own names: "model." in a full checkpoint, more in a LoRA one.
GENERATOR = "attention_bias_generator."
RENDERER = "renderer."
WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin", "non_lora_trainables.bin")
# Defaults of the published configuration class, which a checkpoint's config.json may leave out.
NUM_HEADS, MIN_SIGMA, ALPHA, STRIDE = 4, 0.035, 0.5, 2
DEFAULT_LEARNING, DEFAULT_INJECTION = (0.34, 0.5), (0.75, 1.0)


def convert_checkpoint(folder: str | Path, out: str | Path) -> VIFAdapter:
    """Reads a published checkpoint and writes the adapter, parameters in the type they have.

    Args:
        folder: With ``config.json`` and weights as safetensors or ``.bin``, in shards or whole.
        out: Another folder.

    Returns:
        The adapter.

    Raises:
        InputError: If there is no generator in the checkpoint or it does not fit its configuration.
    """
    folder, out = Path(folder), Path(out)
    if out.resolve() == folder.resolve():
        raise InputError(f"{out} is the checkpoint itself: give another output folder.")
    try:
        values = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} has no readable config.json: expected a checkpoint folder of the "
            "published project."
        ) from error
    state = _generator(folder)
    try:
        adapter = build(published_config(values, state, folder.name), state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"The generator in {folder} does not fit its config.json: "
            + " ".join(str(error).split()[:40])
        ) from error
    adapter.save_pretrained(out, dtype=None)
    return adapter


def published_config(
    values: dict[str, Any], state: dict[str, torch.Tensor], name: str = ""
) -> VIFConfig:
    """The configuration of a published generator.

    Args:
        values: Its ``config.json``; what is missing has the published default.
        state: Its tensors, named as here; they say all widths.
        name: Of the checkpoint.
    """
    llama = LlamaConfig()
    projection = state["latent.prior_encoder.img_proj.weight"]
    blocks = [key for key in state if key.startswith("latent.prior_encoder.layers.")]
    num_layers = values.get("num_hidden_layers", llama.num_hidden_layers)
    learning, injection, stride = _layers(values, num_layers)
    return VIFConfig(
        hidden_size=projection.shape[1],
        num_layers=num_layers,
        num_heads=values.get("num_attention_heads", llama.num_attention_heads),
        width=projection.shape[0],
        num_components=state["latent.latent_queries"].shape[1],
        image_layers=0,
        slot_layers=len({key.split(".")[3] for key in blocks}),
        latent_heads=values.get("latent_num_heads", NUM_HEADS) or 2 * NUM_HEADS,
        ffn_dim=state["latent.prior_encoder.layers.0.vision_ffn.0.weight"].shape[0],
        min_sigma=_given(values, MIN_SIGMA, "latent_min_sigma"),
        renderer="softmax",
        learning=learning,
        injection=injection,
        stride=stride,
        alpha=_given(values, ALPHA, "latent_bias_alpha"),
        backbone=name,
        encoder="published",
        means="head",
        grid="endpoint",
        phase="prefill",
        entropy_weight=_given(values, 1.0, "latent_entropy_weight"),
        volume_weight=_given(values, 1.0, "latent_volume_weight"),
    )


def _given(values: dict[str, Any], default: Any, *names: str) -> Any:
    """The first of several options that is neither missing nor null."""
    return next((values[name] for name in names if values.get(name) is not None), default)


def _layers(
    values: dict[str, Any], num_layers: int
) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Learning and injection range and their stride, resolved as the published code does it."""
    stride = values.get("latent_layer_stride", STRIDE) or 1
    learning = _walk(values, "learning", ("latent_l_start", "latent_l_end"), num_layers, stride)
    older = ("latent_start_layer", "latent_end_layer")
    injection = _walk(values, "apply", older, num_layers, stride)
    if len(learning) != len(injection):
        candidates = list(range(0, num_layers, stride))
        learning = learning[: len(candidates)]
        injection = candidates[-len(learning) :]
    return (learning[0], learning[-1]), (injection[0], injection[-1]), stride


def _walk(
    values: dict[str, Any], name: str, older: tuple[str, str], num_layers: int, stride: int
) -> list[int]:
    shares = {"learning": DEFAULT_LEARNING, "apply": DEFAULT_INJECTION}[name]
    # Its defaults are used unless both ends are given.
    ends = [
        _given(values, None, f"latent_{name}_{end}", old)
        for end, old in zip(("start", "end"), older, strict=True)
    ]
    if None in ends:
        ends = [int(num_layers * share) for share in shares]
    first, last = sorted(max(0, min(end, num_layers - 1)) for end in ends)
    return list(range(first, last + 1, stride))


def _generator(folder: Path) -> dict[str, torch.Tensor]:
    """The generator's tensors, named as `vif.adapter.published` names them.

    Raises:
        InputError: If there are none or a file cannot be read.
    """
    path, state = folder, {}
    try:
        for path in _weight_files(folder):
            for name, tensor in _tensors(path):
                own = name.partition(GENERATOR)[2]
                state[own if own.startswith(RENDERER) else f"latent.{own}"] = tensor
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise InputError(
            f"{path} cannot be read as weights: it is missing, damaged, or contains more "
            "than tensors."
        ) from error
    if not state:
        raise InputError(
            f"{folder} has no weights under '{GENERATOR}*': expected a checkpoint that the "
            "published project trained with --use_latent_importance."
        )
    return state


def _weight_files(folder: Path) -> list[Path]:
    """The files that may hold the generator; by the checkpoint's index if it has one."""
    for index in sorted(folder.glob("*.index.json")):
        shards = json.loads(index.read_text())["weight_map"]
        return [folder / f for f in sorted({f for n, f in shards.items() if GENERATOR in n})]
    return [path for pattern in WEIGHT_FILES for path in sorted(folder.glob(pattern))]


def _tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Generator tensors of one file; the rest of it is not read."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                if GENERATOR in name:
                    yield name, file.get_tensor(name)
        return
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    yield from ((name, tensor) for name, tensor in state.items() if GENERATOR in name)
