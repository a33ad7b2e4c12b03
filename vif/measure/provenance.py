"""Provenance of figures: everything needed to repeat a measurement."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

from torch import nn

from vif import methods as registry
from vif.data import checksum
from vif.measure.asking import Job

_FIRST = 32
_PACKAGES = ("vif-lens", "torch", "transformers", "accelerate", "numpy")


def provenance(job: Job, model_path: str, adapter: str | None, seed: int) -> dict[str, Any]:
    """Everything needed to repeat a measurement, as JSON values.

    Args:
        job: What is asked.
        model_path: As given.
        adapter: As given.
        seed: Of the questions that were drawn.
    """
    session = job.session
    model = session.backbone.model
    settings = asdict(job.settings)
    options = settings.pop("options")
    return {
        "model": session.name,
        "model_path": model_path,
        "revision": getattr(model.config, "_commit_hash", None),
        "adapter": adapter,
        "weights": {
            "model": fingerprint(model),
            "adapter": None if session.adapter is None else fingerprint(session.adapter),
        },
        "dtype": str(model.dtype).removeprefix("torch."),
        "image_processor": describe(session.backbone.processor.image_processor),
        "device": session.backbone.device.type,
        "methods": {
            name: registry.find(name).resolve(options.get(name, {})) for name in job.methods
        },
        "settings": settings,
        "texts": list(job.texts),
        "batch_size": job.batch_size,
        "data": {
            "name": job.data.name,
            "kind": job.data.kind,
            "questions": len(job.data.examples),
            "sha256": checksum(job.data.examples),
            "seed": seed,
        },
        "versions": {name: _version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
    }


def describe(image_processor: Any) -> dict[str, Any]:
    """What is done to pictures: the class of an image processor and whether it pads or crops."""
    names = ("do_pad", "do_center_crop", "do_resize")
    return {"class": type(image_processor).__name__} | {
        name: bool(getattr(image_processor, name, False)) for name in names
    }


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over the names of all parameters and the first values of each.

    Tells two trainings of one model apart in a moment, whatever its size.
    """
    digest = hashlib.sha256()
    for name, parameter in module.named_parameters():
        first = parameter.detach().flatten()[:_FIRST].float().cpu().numpy()
        digest.update(name.encode() + first.tobytes())
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
