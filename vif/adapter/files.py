"""The files of an adapter: ``config.json`` and ``model.safetensors``, in a folder or on the Hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vif.adapter.config import CONFIG_NAME, WEIGHTS_NAME, VIFConfig
from vif.errors import InputError

# Of each tensor; an adapter of the published form has billions.
_FINGERPRINT_VALUES = 1000


def fingerprint(config: VIFConfig, tensors: Mapping[str, torch.Tensor]) -> str:
    """Twelve hexadecimal digits of a configuration and some values of every tensor."""
    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        step = max(1, tensor.numel() // _FINGERPRINT_VALUES)
        values = tensor.detach().flatten()[::step].float().cpu().numpy()
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()[:12]


def write_adapter(
    folder: str | Path, config: VIFConfig, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Writes ``config.json`` and ``model.safetensors`` into a folder, made if it does not exist."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_NAME).write_text(json.dumps(asdict(config), indent=2) + "\n")
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / WEIGHTS_NAME)


def read_adapter(name_or_folder: str | Path) -> tuple[VIFConfig, dict[str, torch.Tensor]]:
    """Configuration and tensors of an adapter in a folder or, by name, on the Hub.

    Raises:
        InputError: If there is no adapter or its files cannot be read.
    """
    folder = Path(name_or_folder)
    if not folder.is_dir():
        folder = _download(str(name_or_folder))
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise InputError(
                f"{name_or_folder} contains no VIF adapter: {name} is missing. Expected a "
                "folder written by training/train_vif.py or by 'vif convert-checkpoint'."
            )
    try:
        values = json.loads((folder / CONFIG_NAME).read_text())
        ranges: dict[str, Any] = {
            name: tuple(values.pop(name)) for name in ("learning", "injection")
        }
        return VIFConfig(**values, **ranges), load_file(folder / WEIGHTS_NAME)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise unreadable(name_or_folder, error) from error


def unreadable(name_or_folder: str | Path, error: Exception) -> InputError:
    """The sentence for an adapter whose files cannot be used."""
    return InputError(
        f"The adapter in {name_or_folder} cannot be read ({str(error).splitlines()[0]}): "
        "train or download it again."
    )


def _download(name: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG_NAME, WEIGHTS_NAME]))
    except (OSError, ValueError) as error:
        raise InputError(
            f"No adapter at {name!r}: expected a folder or a Hub name that can be reached."
        ) from error
