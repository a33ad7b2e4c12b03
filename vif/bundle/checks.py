"""Checks that the parts of a bundle are consistent, before anything is drawn from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import numpy as np

from vif.errors import InputError
from vif.trace import MASS_PARTS, Trace

# Rounding of shares; attention in half precision adds up to about this much over 1.
_SLACK = 0.02
_MOST_TEXT = 200_000


def check_trace(trace: Trace, name: str) -> None:
    """Raises `InputError` unless shapes, ranges and settings of a trace go together."""
    problem = _arrays(trace) or _mixtures(trace) or _words(trace) or _meta(trace.meta)
    if problem:
        raise InputError(f"The answer of {name!r} in the zip is invalid: {problem}.")


def _arrays(trace: Trace) -> str:
    if trace.rows.ndim != 4 or trace.rows.size == 0:
        return "its attention has no tokens, layers, heads or image tokens"
    tokens, layers, heads, number = trace.rows.shape
    shapes = {
        "rows": (tokens, layers, heads, number),
        "mass": (tokens, layers, heads, len(MASS_PARTS)),
        "logprobs": (tokens,),
        "centres": (number, 2),
        "cells": (number, 4),
        "blocks": (number,),
    }
    for name, shape in shapes.items():
        values = getattr(trace, name)
        if values.shape != shape or values.dtype.kind not in "iuf":
            return f"{name} has shape {values.shape}, expected {shape}"
    known = ~np.isnan(trace.mass[0, :, 0, 0])
    # A layer without attention holds NaN and nothing else.
    parts = (trace.rows, trace.rows.sum(-1, keepdims=True), trace.mass)
    is_right = all(np.isnan(a[:, ~known]).all() and _is_share(a[:, known]) for a in parts)
    if not known.any() or not is_right:
        return "its attention values are not shares from 0 to 1"
    if not (np.isfinite(trace.logprobs).all() and (trace.logprobs <= _SLACK).all()):
        return "its log-probabilities are not valid"
    on_image = np.isfinite(trace.cells).all(1)
    if not on_image.any() or not _is_share(trace.cells[on_image]):
        return "its image tokens do not lie on the picture"
    if trace.blocks.dtype.kind not in "iu" or trace.blocks.min() < 0:
        return "its grids of image tokens are not numbered from 0"
    return ""


def _mixtures(trace: Trace) -> str:
    _, layers, heads, number = trace.rows.shape
    for mixture in trace.mixtures:
        if mixture.layer not in range(layers) or mixture.source not in range(-1, layers):
            return f"something was injected into layer {mixture.layer!r} of {layers}"
        count = len(mixture.weights)
        shapes = {
            "means": (count, 2),
            "sigmas": (count,),
            "weights": (count,),
            "map": (number,),
            "strength": (heads,),
            "spread": (number,),
        }
        for name, shape in shapes.items():
            values = getattr(mixture, name)
            if values.shape != shape or not np.isfinite(values).all():
                return f"{name} of an injected map has shape {values.shape}, expected {shape}"
        if not all(_is_share(getattr(mixture, n)) for n in ("map", "strength", "weights")):
            return "the values of an injected map are not shares from 0 to 1"
    return ""


def _words(trace: Trace) -> str:
    count = len(trace.logprobs)
    if not isinstance(trace.answer, str) or not _all(trace.tokens, str, count):
        return "its tokens are not strings, one per probability"
    steps = trace.alternatives
    if len(steps) not in (0, count) or not all(
        isinstance(word, str) and is_number(p) for step in steps for word, p in step
    ):
        return "its alternatives are not strings with probabilities"
    return ""


def _is_share(values: np.ndarray) -> bool:
    """Whether all values lie in [0, 1], but for rounding."""
    return bool(
        np.isfinite(values).all() and values.min() >= -_SLACK and values.max() <= 1 + _SLACK
    )


def _all(values: Any, kind: type | Callable[[Any], bool], count: int | None = None) -> bool:
    """Whether a value is a list of so many things of a kind."""
    if not isinstance(values, list | tuple) or count not in (None, len(values)):
        return False
    return all(isinstance(v, kind) if isinstance(kind, type) else kind(v) for v in values)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    is_plain = isinstance(value, int | float) and not isinstance(value, bool)
    return is_plain and math.isfinite(value)


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a JSON value is a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_text(value: Any) -> bool:
    """Whether a JSON value is a text that a page can show."""
    return isinstance(value, str) and len(value) <= _MOST_TEXT


def _is_range(value: Any) -> bool:
    return _all(value, is_whole, 2)


def _is_region(value: Any) -> bool:
    return _all(value, is_number, 4)


def _is_layout(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and _all(value.get("padding"), is_whole)
        and _all(value.get("unseen"), _is_region)
        and _all(value.get("grids"), _is_grid)
    )


def _is_grid(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and all(is_text(value.get(key)) for key in ("kind", "name"))
        and all(is_whole(value.get(key)) for key in ("rows", "columns"))
        and _is_region(value.get("region"))
    )


def _is_notes(value: Any) -> bool:
    return isinstance(value, Mapping) and ("box" not in value or _is_region(value["box"]))


def is_options(value: Any) -> bool:
    """Whether a JSON value holds settings of single methods, as in `vif.Settings.options`."""
    return isinstance(value, Mapping) and all(
        isinstance(own, Mapping) and all(map(is_number, own.values())) for own in value.values()
    )


# What a page reads of a trace's ``meta``, and what it takes for granted there.
_REQUIRED = {"model": is_text, "question": is_text, "context": is_text}
_OPTIONAL = {
    "dtype": is_text,
    "adapter": lambda value: value is None or is_text(value),
    "learning": _is_range,
    "injection": _is_range,
    "stride": lambda value: is_whole(value) and value > 0,
    "alpha": is_number,
    "samples": is_whole,
    "seed": is_whole,
    "phase": is_text,
    "options": is_options,
    "seconds": is_number,
    "prompt_tokens": is_whole,
    "layout": _is_layout,
    "notes": _is_notes,
    "changed": is_text,
}


def _meta(meta: Any) -> str:
    if not isinstance(meta, Mapping):
        return "it does not record how it was made"
    for key, is_right in (_REQUIRED | _OPTIONAL).items():
        if (key in meta or key in _REQUIRED) and not is_right(meta.get(key)):
            return f"its {key.replace('_', ' ')} cannot be read"
    return ""
