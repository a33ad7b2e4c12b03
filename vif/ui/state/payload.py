"""The data that the browser gets once per result, to draw every layer, head and token.

Independent of Gradio and HTML. Numbers travel as base64 of little-endian float16 or float32.
"""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vif import metrics
from vif.charts.style import method_label
from vif.draw import render
from vif.trace import Mixture, Trace
from vif.ui.state.result import CHANGED, Result
from vif.ui.tones import colour_classes

# Beyond this, slices are fetched when they are shown.
MOST_BYTES = 3_000_000
_numbers = itertools.count(1)


def payload_of(result: Result) -> dict[str, Any]:
    """Returns everything that maps, rings, curves and hovered values are drawn from; JSON values.

    ``rows`` of an answer are (T, L, H, N) attention rows, or None for a large model: then
    ``slices`` holds those of the first token, see `slice_of`.
    """
    colours = colour_classes(result.traces)
    has_rows = sum(trace.rows.size for trace in result.traces.values()) * 2 <= MOST_BYTES
    height, width = result.picture.shape[:2]
    first, truth = result.first, result.truth
    return {
        "id": next(_numbers),
        "again": CHANGED in result.traces,
        "picture": render.data_url(result.picture),
        "width": width,
        "height": height,
        "layers": first.num_layers,
        "attention": first.attention_layers.tolist(),
        "heads": first.num_heads,
        "baseline": result.baseline,
        "roles": roles_of(result),
        "opening": opening_layer(result),
        "boxes": [list(box) for box in truth.boxes] if truth else [],
        "tiled": result.has_tiles,
        "answers": [
            _answer(name, colours[name], result, has_rows) for name in result.traces
        ],
        "slices": {} if has_rows else slice_of(result, 0, "mean"),
    }  # fmt: skip


def slice_of(result: Result, token: int, head: int | str) -> dict[str, Any]:
    """Returns one token's maps of every layer: ``{"token/head": {answer: (L + 1, N)}}``.

    The last row is the mean of all layers.
    """
    maps = {}
    for name, trace in result.traces.items():
        at = min(token, len(trace.tokens) - 1)
        rows = trace.rows[at]
        layers = [render.pick_map(trace.rows, at, layer, head) for layer in range(len(rows))]
        layers.append(render.pick_map(trace.rows, at, None, head))
        maps[name] = as_float16(np.array(layers))
    return {f"{token}/{head}": maps}


def roles_of(result: Result) -> dict[str, list[int]]:
    """Returns the learning and the injection layers of the first answer that was steered."""
    if not result.injecting:
        return {"learning": [], "injection": []}
    meta = next(result.traces[name].meta for name in result.injecting)
    stride = meta.get("stride", 1)
    layers = result.first.attention_layers.tolist()
    found = {}
    for role in ("learning", "injection"):
        low, high = meta.get(role) or (0, -1)
        found[role] = [layer for layer in layers if low <= layer <= high][::stride]
    return found


def opening_layer(result: Result) -> int:
    """Returns the layer to show first: of those injected into, where most is gained on target.

    Where the target is not known, the gain is that of attention on the image as a whole.
    """
    injecting = result.injecting
    if not injecting:
        return int(result.first.attention_layers[-1])
    name = next(iter(injecting))
    layers = [mixture.layer for mixture in injecting[name]]
    after, before = (_measured(result, one)[layers] for one in (name, result.baseline))
    # If every answer was steered there is no gain: the layer with most attention is shown.
    gain = after - before if name != result.baseline else after
    return layers[int(np.argmax(gain))]


def _measured(result: Result, name: str) -> np.ndarray:
    """Attention on the target, or on the image where there is no known target, by layer, (L,)."""
    trace, asked = result.traces[name], result.truth_coverage(name)
    found = metrics.image_share(trace) if asked is None else metrics.in_box_mass(trace, asked)
    return np.nan_to_num(found)


def _answer(name: str, colour: str, result: Result, has_rows: bool) -> dict[str, Any]:
    """One answer with its tokens, maps and mixtures, as JSON values."""
    trace = result.traces[name]
    asked = result.truth_coverage(name)
    tokens = range(len(trace.tokens))
    return {
        "name": name,
        "label": method_label(name),
        "tone": colour,
        "tokens": list(trace.tokens),
        "probabilities": [round(math.exp(p), 4) for p in trace.logprobs],
        "alternatives": [[[t, round(p, 4)] for t, p in found] for found in trace.alternatives],
        "cells": base64.b64encode(trace.cells.astype("<f4").tobytes()).decode(),
        "blocks": trace.blocks.tolist() if result.has_tiles else None,
        "rows": as_float16(trace.rows) if has_rows else None,
        "sinks": [np.flatnonzero(result.sinks(name, token)).tolist() for token in tokens],
        "share": [_numbers_of(metrics.image_share(trace, t)) for t in tokens],
        "spread": [_numbers_of(metrics.visual_entropy(trace, t)) for t in tokens],
        "others": [_numbers_of(metrics.others_share(trace, t)) for t in tokens]
        if "images" in trace.meta
        else None,
        "target": None
        if asked is None
        else [_numbers_of(metrics.in_box_mass(trace, asked, t)) for t in tokens],
        **_economy(trace),
        "density": result.renderer_of(name) == "density",
        "mixtures": [_mixture(mixture) for mixture in trace.mixtures],
    }


def _economy(trace: Trace) -> dict[str, list[list[float | None]] | None]:
    """How attention is divided between text and image, per token; None without counts."""
    names = ("dominance", "economy_text", "economy_image")
    if trace.meta.get("prompt_tokens", 0) <= trace.rows.shape[-1]:
        return dict.fromkeys(names)
    found = [
        (metrics.modality_dominance(trace, token), *metrics.economy(trace, token))
        for token in range(len(trace.tokens))
    ]
    curves = zip(*found, strict=True)
    return {
        name: [_numbers_of(values) for values in by_token]
        for name, by_token in zip(names, curves, strict=True)
    }


def _mixture(mixture: Mixture) -> Mapping[str, Any]:
    """The mixture of one injection layer, as JSON values."""
    return {
        "layer": mixture.layer,
        "source": mixture.source,
        "means": np.round(mixture.means, 4).tolist(),
        "sigmas": np.round(mixture.sigmas, 4).tolist(),
        "weights": np.round(mixture.weights, 4).tolist(),
        "strength": np.round(mixture.strength, 3).tolist(),
        "map": as_float16(mixture.map),
        "spread": as_float16(mixture.spread) if mixture.spread.any() else None,
    }


def as_float16(values: np.ndarray) -> str:
    """Returns numbers as base64 of float16: shares of attention need no more."""
    return base64.b64encode(np.asarray(values).astype("<f2").tobytes()).decode()


def _numbers_of(values: np.ndarray) -> list[float | None]:
    """Numbers by layer; None where a layer has no attention."""
    return [None if np.isnan(value) else round(float(value), 4) for value in values]
