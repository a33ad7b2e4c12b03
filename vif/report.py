"""Traces as JSON, as the command line prints them and the endpoint of the page returns them."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np

from vif import metrics
from vif.trace import Trace, mixture_json


def as_json(traces: dict[str, Trace]) -> dict[str, Any]:
    """The answers to one question with their curves, as JSON values.

    Args:
        traces: One trace per method.

    Returns:
        ``model``, ``question``, ``answers`` by method (``text``, ``tokens``, ``logprobs``),
        ``attenuation`` (share on the image by layer, first answer token, null for a layer that
        has no attention) and ``entropy`` by method, and ``mixtures``, a list with the method's name
        in every entry. With several images in the prompt also ``others``: share on the others.
    """
    first = next(iter(traces.values()))
    curves: dict[str, Callable[[Trace], np.ndarray]] = {
        "attenuation": metrics.image_share,
        "entropy": metrics.visual_entropy,
    }
    if "images" in first.meta:
        curves["others"] = metrics.others_share
    return {
        "model": first.meta.get("model"),
        "question": first.meta.get("question"),
        "answers": {name: trace.answer_json() for name, trace in traces.items()},
        **{
            key: {
                name: [_rounded(float(v)) for v in curve(trace)] for name, trace in traces.items()
            }
            for key, curve in curves.items()
        },
        "mixtures": [
            {"method": name, **mixture_json(mixture)}
            for name, trace in traces.items()
            for mixture in trace.mixtures
        ],
    }


def _rounded(value: float) -> float | None:
    return None if isnan(value) else round(value, 6)
