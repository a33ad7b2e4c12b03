"""What a checkpoint is by its configuration alone, before anything large is downloaded."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from vif.errors import InputError

_RESAMPLED = "it passes the image on as a few tokens, each of which stands for the whole image"
_CROSS = "its text reads the image through cross-attention, not in the prompt"
# Image-text-to-text models that no layout can be found for, and why.
_WITHOUT_PLACES = {
    "blip": _CROSS,
    "blip-2": _RESAMPLED,
    "idefics": _RESAMPLED,
    "idefics2": _RESAMPLED,
    "instructblip": _RESAMPLED,
    "instructblipvideo": _RESAMPLED,
    "kosmos-2": _RESAMPLED,
    "mllama": _CROSS,
}
# Tried on tiny models with every library they need.
_UNSUPPORTED = {
    "llama4": "its layers are not where those of other models in transformers are",
    "perception_lm": "it cuts the image into tiles whose places are not known here",
}
# Types whose images are prepared, or seen, by libraries that nothing else here needs.
_LIBRARIES = {
    "cohere2_vision": ("torchvision",),
    "fast_vlm": ("timm",),
    "lfm2_vl": ("torchvision",),
    "molmo2": ("torchvision",),
}
_ENCODER_DECODERS = ("florence2", "pix2struct", "t5gemma2", "udop", "vision-encoder-decoder")


def usable_config(name: str, local_files_only: bool) -> dict[str, Any]:
    """A checkpoint's ``config.json``, unless it shows that the checkpoint is of no use here.

    Args:
        name: Folder or Hub name.
        local_files_only: Whether nothing is to be downloaded, not even that file.

    Returns:
        The configuration as written; empty if it cannot be read.

    Raises:
        InputError: If it is of a type that is not known or answers no questions about images, has
            an encoder and a decoder, needs code of its own or a library that is missing, or gives
            the image no tokens with a place.
    """
    config = _read_config(name, local_files_only)
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        return config  # Loading will report what is missing.
    if model_type not in CONFIG_MAPPING and config.get("auto_map"):
        raise InputError(
            f"{name!r} cannot be used: it needs its own code (models of type {model_type!r} are "
            "not part of transformers), and code of a model is never run here. Choose a "
            "checkpoint in transformers' own format; their names often end in '-hf'."
        )
    if config.get("is_encoder_decoder") or model_type in _ENCODER_DECODERS:
        raise InputError(
            f"{name!r} cannot be used: it has an encoder and a decoder (type {model_type!r}), and "
            "what is shown here is how a decoder reads image and text in one sequence."
        )
    if model_type in _WITHOUT_PLACES:
        raise InputError(
            f"{name!r} cannot be used: in models of type {model_type!r} no token stands for a "
            f"place on the image, because {_WITHOUT_PLACES[model_type]}."
        )
    if model_type in _UNSUPPORTED:
        raise InputError(
            f"{name!r} cannot be used: models of type {model_type!r} are not supported yet, "
            f"because {_UNSUPPORTED[model_type]}. Choose another one; 'vif models' lists some."
        )
    libraries = _LIBRARIES.get(model_type, ())
    missing = [library for library in libraries if find_spec(library) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise InputError(
            f"{name!r} cannot be used yet: models of type {model_type!r} need "
            f"{' and '.join(missing)}, which {are} not installed. Run 'pip install "
            f"{' '.join(missing)}', in the version that belongs to your torch."
        )
    if model_type not in CONFIG_MAPPING:
        raise InputError(
            f"{name!r} cannot be used: models of type {model_type!r} are not part of the installed "
            "transformers. Check the name of the model, or update transformers."
        )
    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        is_text_only = model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        are = "read text only" if is_text_only else "do not answer questions about images"
        raise InputError(
            f"{name!r} cannot be used: models of type {model_type!r} {are}. Choose an "
            "image-text-to-text model; 'vif models' lists some."
        )
    return config


def _read_config(name: str, local_files_only: bool) -> dict[str, Any]:
    """The configuration as written; empty if it cannot be read."""
    try:
        path = (
            Path(name) / "config.json"
            if Path(name).is_dir()
            else hf_hub_download(name, "config.json", local_files_only=local_files_only)
        )
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError):
        return {}
    return config if isinstance(config, dict) else {}
