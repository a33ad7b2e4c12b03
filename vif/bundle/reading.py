"""Reads a bundle, wherever it comes from; see `vif.bundle.safe_zip` for what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from vif.bundle.checks import check_trace, is_number, is_options, is_text, is_whole
from vif.bundle.content import (
    FORMAT,
    FORMAT_VERSION,
    INDEX,
    METHOD_NAME,
    MOST_METHODS,
    PICTURE,
    Bundle,
    trace_name,
)
from vif.bundle.safe_zip import SafeZip, read_arrays
from vif.errors import InputError
from vif.inputs.boxes import check_boxes
from vif.inputs.images import open_image
from vif.settings import Settings
from vif.trace import Trace

# Unpacked; a long answer of a 7 B model takes about a tenth of it.
MOST_BYTES = 1_000_000_000
_MOST_INDEX = 2_000_000


def read(source: str | Path | bytes | BinaryIO, most_bytes: int = MOST_BYTES) -> Bundle:
    """Reads a bundle that `vif.bundle.write` wrote.

    Args:
        source: Path, bytes or open file.
        most_bytes: What it may unpack to.

    Raises:
        InputError: If it is something else, damaged, too large, or made by a newer version; one
            sentence says which.
    """
    files = SafeZip(source, most_bytes)
    index = _index(files)
    traces = {name: _trace(files, name) for name in index["methods"]}
    shapes = {(t.num_layers, t.num_heads) for t in traces.values()}
    if len(shapes) > 1 or len({t.meta["question"] for t in traces.values()}) > 1:
        raise InputError("The answers in the zip belong to different models or questions.")
    truth = index.get("truth") or {}
    boxes = tuple(tuple(box) for box in truth.get("boxes", ()))
    check_boxes(boxes)
    return Bundle(
        picture=open_image(files.read(PICTURE)),
        traces=traces,
        settings=_settings(index, next(iter(traces.values())).num_layers),
        answer=truth.get("answer"),
        boxes=boxes,
        **{key: index[key] for key in ("note", "view", "look", "renderer", "provenance")},
    )


def _index(files: SafeZip) -> dict[str, Any]:
    """The index, complete and of the right types.

    Raises:
        InputError: If it is not.
    """
    data = files.read(INDEX)
    try:
        index = json.loads(data) if len(data) <= _MOST_INDEX else None
    except (ValueError, RecursionError) as error:
        raise _broken(INDEX) from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise _broken(INDEX)
    version = index.get("version")
    if not is_whole(version) or version < 1:
        raise _broken(INDEX)
    if version > FORMAT_VERSION:
        raise InputError(
            f"The zip has format {version}, but this version of VIF Lens reads formats up "
            f"to {FORMAT_VERSION}: update VIF Lens."
        )
    known = {key: index.get(key, default) for key, (_, default) in _PARTS.items()}
    for key, (is_right, _) in _PARTS.items():
        if not is_right(known[key]):
            raise _broken(f"{INDEX} ({key})")
    return known


def _trace(files: SafeZip, method: str) -> Trace:
    name = trace_name(method)
    try:
        arrays = read_arrays(files.read(name), files.left)
        files.left -= sum(array.nbytes for array in arrays.values())
        trace = Trace.from_arrays(arrays, name)
        check_trace(trace, method)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _broken(name) from error
    if trace.method != method:
        raise _broken(name)
    return trace


def _settings(index: dict[str, Any], num_layers: int) -> Settings:
    """The settings; what a later version added is left out, what is missing has its default."""
    given = {key: index["settings"][key] for key in Settings().chosen if key in index["settings"]}
    for key in ("learning", "injection"):
        if key in given:
            given[key] = tuple(given[key])
    found = Settings(**given)
    found.check(num_layers)
    return found


def _broken(name: str) -> InputError:
    return InputError(f"{name} in the zip cannot be read: download or save it again.")


def _is_methods(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MOST_METHODS
        and all(isinstance(name, str) and METHOD_NAME.fullmatch(name) for name in value)
        and len(set(value)) == len(value)
    )


def _is_settings(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    ranges = [value[key] for key in ("learning", "injection") if key in value]
    whole = [value[k] for k in ("stride", "samples", "seed", "max_new_tokens") if k in value]
    return (
        all(isinstance(r, list) and len(r) == 2 and all(map(is_whole, r)) for r in ranges)
        and all(map(is_whole, whole))
        and is_number(value.get("alpha", 0))
        and is_text(value.get("phase", ""))
        and is_options(value.get("options", {}))
    )


def _is_truth(value: Any) -> bool:
    if value is None:
        return True
    boxes = value.get("boxes", []) if isinstance(value, Mapping) else None
    return (
        isinstance(boxes, list)
        and all(isinstance(b, list) and len(b) == 4 and all(map(is_number, b)) for b in boxes)
        and (value.get("answer") is None or is_text(value["answer"]))
    )


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


# Parts of the index: what each must be, and what it is if it is missing.
_PARTS = {
    "methods": (_is_methods, None),
    "settings": (_is_settings, {}),
    "truth": (_is_truth, None),
    "note": (is_text, ""),
    "view": (_is_mapping, {}),
    "look": (lambda value: value is None or _is_mapping(value), None),
    "renderer": (is_text, "density"),
    "provenance": (_is_mapping, {}),
}
