"""Which parts of the backbone are trained with the adapter, and how they are saved and loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.fsdp import FSDPModule

from training.adapter.model import VIFModel
from training.adapter.optim import PROJECTORS
from vif.adapter import VIFAdapter, build
from vif.adapter.fit import check_fit
from vif.errors import InputError
from vif.model.backbone import Backbone

LORA, FULL = "lora", "model"  # folders within a checkpoint
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def unfreeze(backbone: Backbone, tune: str, rank: int, alpha: float, dropout: float) -> None:
    """Makes trainable what is to be tuned; everything else is frozen.

    ``"adapter"``: nothing of the backbone. ``"lora"``: low-rank updates of the language model's
    projections (arXiv 2106.09685). ``"full"``: language model and projector; as published, the
    vision tower stays as it is.

    Raises:
        InputError: If there is no such choice.
    """
    vlm = backbone.model.requires_grad_(False)
    if tune == "adapter":
        return
    if tune == "full":
        for part in (vlm.get_decoder(), vlm.get_output_embeddings()):
            part.requires_grad_(True)
        for name, parameter in vlm.named_parameters():
            if any(part in name for part in PROJECTORS):
                parameter.requires_grad_(True)
        return
    if tune != "lora":
        raise InputError(f"tune is {tune!r}, expected adapter, lora or full.")
    decoder = next(name for name, part in vlm.named_modules() if part is vlm.get_decoder())
    targets = rf"{re.escape(decoder)}\..*\.({'|'.join(LINEAR)})"
    # peft's annotation of the scale is int, the published one a float.
    scale: Any = alpha
    vlm.add_adapter(
        LoraConfig(r=rank, lora_alpha=scale, lora_dropout=dropout, target_modules=targets)
    )
    # peft creates them in the backbone's precision, which loses small steps of training.
    for parameter in vlm.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def save(
    model: VIFModel,
    folder: Path,
    dtype: torch.dtype | None,
    state: dict[str, torch.Tensor] | None = None,
) -> None:
    """Writes the adapter, and what was tuned besides into a folder within.

    Args:
        model: What is trained.
        folder: Made if it does not exist.
        dtype: Of the adapter's parameters in the file; None keeps theirs.
        state: Its tensors, where the model's own are spread over processes.
    """
    adapter, tensors = model.adapter, None
    if state is not None:
        adapter = build(model.adapter.config, _part(state, "adapter."))
        tensors = _part(state, "vlm.")
    if model.has_adapter:
        adapter.save_pretrained(folder, dtype)
    if model.tune == "adapter":
        return
    inner = folder / (LORA if model.tune == "lora" else FULL)
    model.vlm.save_pretrained(inner, state_dict=tensors)
    if model.tune == "lora":
        # Beside a configuration transformers looks for a whole model instead of the named one.
        (inner / "config.json").unlink(missing_ok=True)
    model.backbone.processor.save_pretrained(inner)


def _part(state: dict[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(start): t for name, t in state.items() if name.startswith(start)}


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Has every process hold all weights, where FSDP spreads them; all of them have to enter."""
    is_spread = isinstance(model, FSDPModule)
    if is_spread:
        model.unshard()
    yield
    if is_spread:
        model.reshard()


def restore(model: VIFModel, folder: Path) -> None:
    """Restores the weights that `save` wrote.

    Raises:
        InputError: If the folder belongs to another backbone or another kind of tuning.
    """
    if model.has_adapter:
        read_adapter(model.adapter, folder, model.backbone)
    if model.tune == "adapter":
        return
    inner = folder / (LORA if model.tune == "lora" else FULL)
    if not inner.is_dir():
        raise InputError(
            f"{folder} was not saved with --tune {model.tune}: choose another --output_dir."
        )
    if model.tune == "lora":
        state = load_file(inner / "adapter_model.safetensors")
        set_peft_model_state_dict(model.vlm, state)
    else:
        saved = type(model.vlm).from_pretrained(inner, dtype=model.vlm.dtype)
        _load(model.vlm, saved.state_dict())


def read_adapter(adapter: VIFAdapter, folder: str | Path, backbone: Backbone) -> None:
    """Reads the weights of a saved adapter into one in training.

    Raises:
        InputError: If it was made for another backbone or has another shape.
    """
    saved = VIFAdapter.from_pretrained(folder)
    check_fit(saved.config, backbone, f"The adapter in {folder}")
    if saved.config.backbone not in ("", backbone.name):
        raise InputError(
            f"The adapter in {folder} belongs to {saved.config.backbone}, not to {backbone.name}: "
            "choose another folder."
        )
    try:
        _load(adapter, saved.state_dict())
    except RuntimeError as error:
        raise InputError(
            f"The shape of the adapter in {folder} differs from the flags: give the "
            "--latent_num_components, --latent_num_layers, --latent_hidden_size and "
            "--latent_ffn_dim that it was trained with."
        ) from error


def _load(module: nn.Module, state: dict[str, Any]) -> None:
    """As `load_state_dict`, into parameters that FSDP may have spread over processes as well."""
    options = StateDictOptions(full_state_dict=True)
    set_model_state_dict(module, state, options=options)
