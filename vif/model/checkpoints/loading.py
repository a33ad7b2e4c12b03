"""A checkpoint by name or folder: how large it is, and its model and processor in memory."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from pathlib import Path
from typing import Any, TypedDict

import psutil
import torch
from huggingface_hub import snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import DryRunError, GatedRepoError, RepositoryNotFoundError
from huggingface_hub.file_download import DryRunFileInfo
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

from vif.errors import InputError
from vif.model.checkpoints.aspect import set_aspect_ratio
from vif.model.checkpoints.download import download
from vif.model.checkpoints.kinds import usable_config
from vif.model.checkpoints.processors import load_processor
from vif.progress import Progress

QUANTIZATIONS = ("8bit", "4bit")
# What is read; repositories often hold the same weights in other formats besides. Pickles can run
# code when they are opened, so they are not read.
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_SMALL = re.compile(r"[^/]+\.(json|txt|model|jinja)")

_LORA = "adapter_config.json"

_log = logging.getLogger(__name__)


def download_size(name_or_folder: str | Path) -> int:
    """How many bytes loading a model would download; 0 for a folder and for what is here already.

    Args:
        name_or_folder: Folder or Hub name.

    Raises:
        InputError: If there is no such model, it may not be read, or the Hub cannot be reached.
    """
    name = str(name_or_folder)
    if Path(name).is_dir():
        return 0
    return sum(file.file_size or 0 for file in _needed(name) if file.will_download)


def _needed(name: str) -> list[DryRunFileInfo]:
    """The files to download for a model; none if it is in the cache and the Hub is unreachable.

    Raises:
        InputError: As `download_size`.
    """
    try:
        files = snapshot_download(name, dry_run=True)
    except (DryRunError, GatedRepoError, RepositoryNotFoundError) as error:
        if _is_cached(name):
            return []
        raise InputError(_why_unreachable(name, error)) from error
    except ValueError as error:
        raise InputError(
            f"{name!r} is neither a folder nor a Hub name: expected for example "
            "'llava-hf/llava-1.5-7b-hf'."
        ) from error
    wanted = (_WEIGHTS, _SMALL)
    return [file for file in files if any(kind.fullmatch(file.filename) for kind in wanted)]


def refuse_too_large(
    name: str, options: dict[str, Any], quantization: str | None = None, stored_bytes: int = 2
) -> None:
    """Refuses a model whose weights alone are larger than the memory that is free.

    Args:
        name: Folder or Hub name.
        options: Where it goes, see `_placement`.
        quantization: As in `load_checkpoint`.
        stored_bytes: Of one number in the files.

    Raises:
        InputError: If it does not fit.
    """
    stored = _weight_bytes(name)
    if not stored:
        return
    loaded_bytes = {"auto": stored_bytes, "float32": 4}.get(options["dtype"], 2)
    if quantization is not None:
        loaded_bytes = {"8bit": 1.0, "4bit": 0.6}[quantization]
    needed = int(stored / stored_bytes * loaded_bytes)
    free = _free_memory(options.get("device_map"))
    if needed > free:
        raise InputError(
            f"{name!r} does not fit: its weights take {readable_size(needed)} and "
            f"{readable_size(free)} of memory are free. Choose a smaller model ('vif models' lists "
            "some), half precision (--dtype bfloat16) or, on a GPU, --quantization 4bit."
        )


def _weight_bytes(name: str) -> int:
    """Size of the weights of a model as they are stored."""
    if Path(name).is_dir():
        files = Path(name).glob("*.safetensors")
        return sum(file.stat().st_size for file in files if _WEIGHTS.fullmatch(file.name))
    needed = (file for file in _needed(name) if _WEIGHTS.fullmatch(file.filename))
    return sum(file.file_size or 0 for file in needed)


def _free_memory(device_map: str | None) -> int:
    """Bytes that are free where a model goes; what does not fit on GPUs goes to the CPU."""
    free = psutil.virtual_memory().available
    if device_map == "auto":
        gpus = range(torch.cuda.device_count())
        return free + sum(torch.cuda.mem_get_info(gpu)[0] for gpu in gpus)
    return free if device_map is None else torch.cuda.mem_get_info(device_map)[0]


def readable_size(size: int) -> str:
    """A number of bytes as a person reads it, e.g. ``14.1 GB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


class LoadOptions(TypedDict, total=False):
    """Arguments of `load_checkpoint` besides the name, for callers that pass them on."""

    device: str | None
    dtype: str | None
    quantization: str | None
    image_aspect_ratio: str | None
    progress: Progress | None


def load_checkpoint(
    name_or_folder: str | Path,
    device: str | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
    image_aspect_ratio: str | None = None,
    progress: Progress | None = None,
) -> tuple[nn.Module, Any]:
    """Loads a model and its processor.

    Args:
        name_or_folder: Folder or Hub name; a folder may also hold low-rank updates (LoRA) of
            another model, which is loaded with them and needs peft.
        device: E.g. ``"cpu"`` or ``"cuda:1"``; ``"cuda"`` and ``"auto"`` spread the model over all
            GPUs. A GPU if there is one by default.
        dtype: E.g. ``"bfloat16"``, or ``"auto"`` for the checkpoint's own; float32 on a CPU, else
            the checkpoint's own by default.
        quantization: None, ``"8bit"`` or ``"4bit"``.
        image_aspect_ratio: None for the processor's own way, ``"pad"`` or ``"crop"``; see
            `vif.model.checkpoints.aspect`.
        progress: Told how much of it is downloaded; by default bars at the terminal tell it.

    Raises:
        InputError: If it cannot be found or loaded.
    """
    name, lora = str(name_or_folder), None
    if (updates := Path(name) / _LORA).is_file():
        name, lora = _base_of(updates), name
    size = download_size(name)
    config = usable_config(name, local_files_only=size == 0)
    options = _placement(device, dtype) | _quantized(quantization)
    is_full = "float32" in (config.get("dtype"), config.get("torch_dtype"))
    refuse_too_large(name, options, quantization, 4 if is_full else 2)
    options |= {"local_files_only": size == 0, "trust_remote_code": False, "use_safetensors": True}
    if size:
        _log.warning("Downloading %s: %s.", name, readable_size(size))
        download(name, [file.filename for file in _needed(name)], size, progress)
    try:
        processor = load_processor(name, options["local_files_only"])
        model = AutoModelForImageTextToText.from_pretrained(name, **options)
        if lora is not None:
            model.load_adapter(lora)
    except SafetensorError as error:
        raise InputError(
            f"The weights of {name!r} are damaged or cut off ({_first_line(error)}): copy or "
            "download them again."
        ) from error
    except (ImportError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"No vision-language model could be loaded from {name!r}: expected a folder or a "
            f"Hub name of an image-text-to-text model ({_first_line(error)})."
        ) from error
    if image_aspect_ratio is not None:
        set_aspect_ratio(model.config, processor, image_aspect_ratio)
    return model, processor


def _base_of(updates: Path) -> str:
    """The model that low-rank updates belong to.

    Raises:
        InputError: If they do not say so, or are kept as a pickle.
    """
    weights = updates.with_name("adapter_model.safetensors")
    if not weights.is_file():
        raise InputError(
            f"{updates.parent} contains no {weights.name}: save the updates in that format, "
            "because pickles (.bin, .pt) are never read."
        )
    try:
        return str(json.loads(updates.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{updates} does not name the model that it belongs to.") from error


def _placement(device: str | None, dtype: str | None) -> dict[str, Any]:
    """Where the model goes, as arguments of ``from_pretrained``."""
    has_gpu = torch.cuda.is_available()
    device = device or ("auto" if has_gpu else "cpu")
    if device.startswith("cuda") and not has_gpu:
        raise InputError(f"Device {device!r} was requested, but there is no GPU: use 'cpu'.")
    # Processes that train together on CPUs call theirs "cpu:0", "cpu:1".
    on_cpu = device.startswith("cpu") or (device == "auto" and not has_gpu)
    if dtype not in (None, "auto") and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise InputError(f"{dtype!r} is not a number type: use float32, bfloat16 or float16.")
    if on_cpu:
        return {"dtype": dtype or "float32"}
    return {"dtype": dtype or "auto", "device_map": "auto" if device == "cuda" else device}


def _quantized(quantization: str | None) -> dict[str, Any]:
    if quantization is None:
        return {}
    if quantization not in QUANTIZATIONS:
        raise InputError(
            f"Quantization {quantization!r} is unknown: use {' or '.join(QUANTIZATIONS)}."
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(
            f"Loading in {quantization} needs bitsandbytes, which is not installed: run "
            "'pip install bitsandbytes', or load without quantization."
        )
    config = (
        BitsAndBytesConfig(load_in_8bit=True)
        if quantization == "8bit"
        else BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    )
    return {"quantization_config": config}


def _is_cached(name: str) -> bool:
    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def _why_unreachable(name: str, error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, DryRunError) else error
    if isinstance(cause, GatedRepoError):
        return (
            f"{name!r} can only be downloaded by users who accepted its terms: log in with 'hf "
            "login'."
        )
    if isinstance(cause, RepositoryNotFoundError):
        return f"There is no folder and no model on the Hub called {name!r}: check the spelling."
    return (
        f"There is no folder {name!r}, no such model has been downloaded before, and the Hub "
        "cannot be reached: check the name and the connection."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
