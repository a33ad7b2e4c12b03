"""Writes a bundle: arrays and an index to read back, and figures and tables for other programs."""

from __future__ import annotations

import csv
import io
import json
import platform
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from vif import __version__, metrics
from vif.bundle.content import (
    FORMAT,
    FORMAT_VERSION,
    INDEX,
    METHOD_NAME,
    PICTURE,
    Bundle,
    trace_name,
)
from vif.errors import InputError
from vif.report import as_json

# Longer side of the picture in the zip; what a model sees is smaller.
MOST_SIDE = 2048
# Zips carry dates; the same bundle is the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_PACKAGES = ("torch", "transformers", "numpy")
_READ_ME = """VIF Lens saved this zip. It shows a question and its answers without a model:

    vif open FILE.zip            in a terminal, or in the browser with --page

bundle.json    question, settings, right answer if known, and where the numbers come from
picture.png    the picture
traces/        every number, one file per answer: vif.Trace.load("traces/plain.npz")
answers.json   answers, curves and mixtures as text
curves.csv     by answer, token and layer: attention on the image, its spread, its share on target
tokens.csv     by answer: tokens with their probabilities
figures/       what the page showed, with its scale
"""


def write(
    path: str | Path | BinaryIO, bundle: Bundle, extra: Mapping[str, bytes] | None = None
) -> None:
    """Writes a bundle as one zip.

    Args:
        path: File to write, an existing one is replaced; or an open file.
        bundle: What to save.
        extra: More files by their name in the zip, for people; `vif.bundle.read` does not read
            them.

    Raises:
        InputError: If a method has a name that is none.
    """
    for method in bundle.traces:
        if not METHOD_NAME.fullmatch(method):
            raise InputError(f"A method called {method!r} cannot be saved: rename it.")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _files(bundle, extra or {}):
            # Arrays and pictures are compressed already.
            is_packed = name.endswith((".npz", ".png"))
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def _files(bundle: Bundle, extra: Mapping[str, bytes]) -> Iterable[tuple[str, bytes]]:
    yield INDEX, _json(_index(bundle))
    yield PICTURE, _png(bundle.picture)
    for name, trace in bundle.traces.items():
        stream = io.BytesIO()
        trace.save(stream)
        yield trace_name(name), stream.getvalue()
    yield "answers.json", _json(as_json(bundle.traces))
    yield "curves.csv", _curves(bundle)
    yield "tokens.csv", _tokens(bundle)
    yield "README.txt", _READ_ME.encode()
    yield from extra.items()


def _index(bundle: Bundle) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "question": bundle.question,
        "context": bundle.context,
        "methods": list(bundle.traces),
        "settings": bundle.settings.chosen,
        "truth": {"answer": bundle.answer, "boxes": bundle.boxes},
        "note": bundle.note,
        "view": dict(bundle.view),
        "look": bundle.look,
        "renderer": bundle.renderer,
        "provenance": dict(bundle.provenance),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _png(picture: Image.Image) -> bytes:
    shrunk = picture.convert("RGB")
    if max(shrunk.size) > MOST_SIDE:
        shrunk.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    shrunk.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _curves(bundle: Bundle) -> bytes:
    """One line per answer, token and layer."""
    rows: list[tuple[Any, ...]] = [
        ("method", "token", "layer", "image_share", "entropy", "in_box_share")
    ]
    for name, trace in bundle.traces.items():
        asked = metrics.box_coverage(trace.cells, bundle.boxes) if bundle.boxes else None
        for token in range(len(trace.tokens)):
            share, spread = metrics.image_share(trace, token), metrics.visual_entropy(trace, token)
            inside = np.full(len(share), np.nan)
            if asked is not None:
                inside = metrics.in_box_mass(trace, asked, token)
            for layer, values in enumerate(zip(share, spread, inside, strict=True)):
                shown = ("" if np.isnan(v) else f"{v:.6f}" for v in values)
                rows.append((name, token, layer, *shown))
    return _csv(rows)


def _tokens(bundle: Bundle) -> bytes:
    rows: list[tuple[Any, ...]] = [("method", "token", "text", "logprob", "probability")]
    for name, trace in bundle.traces.items():
        for i, (word, logprob) in enumerate(zip(trace.tokens, trace.logprobs, strict=True)):
            rows.append((name, i, word, f"{logprob:.6f}", f"{np.exp(logprob):.6f}"))
    return _csv(rows)


def _csv(rows: Iterable[tuple[Any, ...]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(rows)
    return stream.getvalue().encode()


def provenance(made: str | None, **known: Any) -> dict[str, Any]:
    """Where the numbers of a bundle come from.

    Args:
        made: When, as ISO 8601; None for what is to be the same whenever it is made.
        known: What else is known, e.g. ``adapter``.

    Returns:
        ``made``, ``python``, ``versions`` of the packages that computed, and `known`.
    """
    versions = {"vif": __version__} | {name: version(name) for name in _PACKAGES}
    return {"made": made, "python": platform.python_version(), "versions": versions, **known}
