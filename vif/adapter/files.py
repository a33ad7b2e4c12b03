"""The files of an adapter: ``config.json`` and ``model.safetensors``, in a folder or on the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file

from vif.adapter.config import CONFIG_NAME, WEIGHTS_NAME, VIFConfig
from vif.errors import InputError


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
                f"{name_or_folder} holds no VIF adapter: {name} is missing, expected a folder "
                "written by training/train_vif.py or by convert-checkpoint."
            )
    try:
        values = json.loads((folder / CONFIG_NAME).read_text())
        ranges: dict[str, Any] = {
            name: tuple(values.pop(name)) for name in ("learning", "injection")
        }
        return VIFConfig(**values, **ranges), load_file(folder / WEIGHTS_NAME)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise broken(name_or_folder, error) from error


def broken(name_or_folder: str | Path, error: Exception) -> InputError:
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
