"""Adapters of either form, made from a configuration or read from files."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file

from vif.adapter import VIFAdapter
from vif.config import CONFIG_NAME, WEIGHTS_NAME, VIFConfig
from vif.errors import InputError
from vif.published import PublishedVIF


def build(config: VIFConfig, state: dict[str, torch.Tensor] | None = None) -> VIFAdapter:
    """The adapter that a configuration describes.

    Args:
        config: Its ``encoder`` chooses the form.
        state: Its tensors, taken as they are; drawn anew if None.

    Raises:
        RuntimeError: If names or shapes of `state` differ from the configuration's.
    """
    form = {"slots": VIFAdapter, "published": PublishedVIF}[config.encoder]
    if state is None:
        return form(config)
    # Billions of parameters would take minutes to draw, only to be replaced.
    with torch.device("meta"):
        adapter = form(config)
    adapter.load_state_dict(state, assign=True)
    return adapter


def load_adapter(name_or_folder: str | Path) -> VIFAdapter:
    """What `VIFAdapter.from_pretrained` returns and raises."""
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
        ranges = {name: tuple(values.pop(name)) for name in ("learning", "injection")}
        adapter = build(VIFConfig(**values, **ranges), load_file(folder / WEIGHTS_NAME))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"The adapter in {name_or_folder} cannot be read ({str(error).splitlines()[0]}): "
            "train or download it again."
        ) from error
    return adapter.float().eval()


def _download(name: str) -> Path:
    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG_NAME, WEIGHTS_NAME]))
    except (OSError, ValueError) as error:
        raise InputError(
            f"No adapter at {name!r}: expected a folder or a Hub name that can be reached."
        ) from error
