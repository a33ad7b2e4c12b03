"""All metrics that a trace alone can give, as curves over the layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vif.inputs.boxes import Box
from vif.metrics import amount, place, sinks, spread
from vif.trace import Trace


def by_layer(
    trace: Trace, token: int = 0, boxes: Sequence[Box] = (), without_sinks: bool = False
) -> dict[str, np.ndarray]:
    """Metrics by layer, each (L,).

    Args:
        trace: A trace.
        token: Which generated token.
        boxes: The truth, (x0, y0, x1, y1) in [0, 1]; without it nothing is said about place.
        without_sinks: Leaves out image tokens that are sinks by `attention_sinks` of the layer.

    Returns:
        ``share``, ``share_on_sinks``, ``dominance``, ``entropy``, ``effective_tokens``,
        ``top_mass`` (of 5 % of the tokens), ``gini``, ``components`` and, with boxes, ``in_box``,
        ``lift``, ``window_ratio`` (of the first box) and ``pointing`` (within one patch).
    """
    found = sinks.attention_sinks(trace)
    without = found if without_sinks else None
    weights = amount.image_weights(trace, token, without)
    curves = {
        "share": amount.image_share(trace, token, without),
        "share_on_sinks": sinks.sink_share(trace, found, token),
        "dominance": amount.modality_dominance(trace, token, without),
        "entropy": spread.entropy_share(weights),
        "effective_tokens": spread.effective_tokens(weights),
        "top_mass": spread.top_mass(weights, 0.05),
        "gini": spread.gini(weights),
        "components": spread.component_entropy(trace, token, without),
    }
    if boxes:
        truth = place.box_coverage(trace.cells, boxes)
        curves |= {
            "in_box": place.in_box_mass(trace, truth, token, without),
            "lift": place.lift(trace, truth, token, without),
            "window_ratio": place.window_ratio(trace, boxes[0], token),
            "pointing": _known(trace, place.pointing(trace, boxes, token, 1, without)),
        }
    return curves


def _known(trace: Trace, hits: np.ndarray) -> np.ndarray:
    """Hits by layer as numbers; NaN in layers that have no attention."""
    found = np.full(len(hits), np.nan)
    found[trace.attention_layers] = hits[trace.attention_layers]
    return found
