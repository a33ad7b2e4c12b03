"""What is measured of one answer: every metric by layer, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vif import metrics
from vif.inputs.boxes import Box
from vif.measure.asking import LoadedExample
from vif.trace import MASS_PARTS, Trace

DIGITS = 5
# Which rows: the one that predicts the first token, or the mean over all that predict the answer.
FIRST, ALL = "first", "all"


@dataclass(frozen=True)
class Metric:
    """A number per layer that is measured of every answer.

    Attributes:
        name: In files.
        label: For a person.
        unit: Of the axis.
    """

    name: str
    label: str
    unit: str


# The metric that is a ratio of what text gets to what the image gets.
RATIO = "dominance"
_SHARE, _OF_IMAGE = "share of attention", "share of image attention"
METRICS = (
    Metric("share", "Attention on the image", _SHARE),
    Metric("share_without_sinks", "Attention on the image, sinks left out", _SHARE),
    Metric("question", "Attention on the question", _SHARE),
    Metric("answer", "Attention on the answer so far", _SHARE),
    Metric("other", "Attention on the rest of the prompt", _SHARE),
    Metric("entropy", "Entropy over the image", "share of ln N"),
    Metric("entropy_without_sinks", "Entropy over the image, sinks left out", "share of ln N"),
    Metric("focus", "Focus (1 - entropy)", "1 - H / ln N"),
    Metric(RATIO, "Modality dominance (MDI)", "text over image, per token"),
    Metric("economy_text", "Attention efficiency of text (AEI)", "1 is its share of tokens"),
    Metric("economy_image", "Attention efficiency of the image (AEI)", "1 is its share of tokens"),
    Metric("in_box", "Attention inside the true box", _OF_IMAGE),
    Metric("in_box_without_sinks", "Inside the true box, sinks left out", _OF_IMAGE),
    Metric("lift", "Attention inside the true box over chance", "1 is a uniform look"),
    Metric("pointing", "Strongest token in the true box", "share of questions"),
    Metric("pointing_without_sinks", "Strongest token that is no sink in it", "share of questions"),
)  # fmt: skip


def measure(asked: LoadedExample, traces: Mapping[str, Trace]) -> dict[str, Any]:
    """All metrics of a question's answers.

    Args:
        asked: The question.
        traces: An answer per method.

    Returns:
        Per method ``answer``, ``text_tokens`` (in the prompt, the image's left out),
        ``attenuation`` (see `vif.metrics.attenuation`), and for `FIRST` and `ALL` a list (L,) per
        metric.
    """
    return {method: _of(trace, asked.boxes) for method, trace in traces.items()}


def _of(trace: Trace, boxes: Sequence[Box]) -> dict[str, Any]:
    # Every metric here begins with the mean of the heads; once is enough.
    trace = replace(
        trace, rows=trace.rows.mean(2, keepdims=True), mass=trace.mass.mean(2, keepdims=True)
    )
    sinks = metrics.attention_sinks(trace)
    by_token = [_curves(trace, token, boxes, sinks) for token in range(len(trace.tokens))]
    mean = {name: np.mean([curves[name] for curves in by_token], 0) for name in by_token[0]}
    return {
        "answer": trace.answer,
        "text_tokens": trace.meta["prompt_tokens"] - trace.rows.shape[-1],
        "attenuation": round(metrics.attenuation(trace), DIGITS),
        FIRST: _listed(by_token[0]),
        ALL: _listed(mean),
    }


def _curves(
    trace: Trace, token: int, boxes: Sequence[Box], sinks: np.ndarray
) -> dict[str, np.ndarray]:
    """By metric, (L,)."""
    parts = dict(zip(MASS_PARTS, trace.mass[token].mean(1).T, strict=True))
    text, image = metrics.economy(trace, token)
    entropy = metrics.visual_entropy(trace, token)
    curves = {
        "share": metrics.image_share(trace, token),
        "share_without_sinks": metrics.image_share(trace, token, sinks),
        **{part: parts[part] for part in ("question", "answer", "other")},
        "entropy": entropy,
        "entropy_without_sinks": metrics.visual_entropy(trace, token, sinks),
        "focus": 1 - entropy,
        "dominance": metrics.modality_dominance(trace, token),
        "economy_text": text,
        "economy_image": image,
    }
    if boxes:
        truth = metrics.box_coverage(trace.cells, boxes)
        curves |= {
            "in_box": metrics.in_box_mass(trace, truth, token),
            "in_box_without_sinks": metrics.in_box_mass(trace, truth, token, sinks),
            "lift": metrics.lift(trace, truth, token),
            "pointing": _known(trace, metrics.pointing(trace, boxes, token)),
            "pointing_without_sinks": _known(
                trace, metrics.pointing(trace, boxes, token, without=sinks)
            ),
        }
    return curves


def _known(trace: Trace, hits: np.ndarray) -> np.ndarray:
    """Hits by layer as numbers, NaN in layers that have no attention."""
    found = np.full(len(hits), np.nan)
    found[trace.attention_layers] = hits[trace.attention_layers]
    return found


def _listed(curves: Mapping[str, np.ndarray]) -> dict[str, list[float | None]]:
    """Curves as JSON values; unknown values (no token sees the box) are None."""
    return {
        name: [round(float(v), DIGITS) if np.isfinite(v) else None for v in values]
        for name, values in curves.items()
    }
