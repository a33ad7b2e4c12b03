"""Sinks: image tokens that draw attention whatever is asked."""

from __future__ import annotations

import numpy as np

from vif import metrics
from vif.trace import Trace

FACTOR = 5.0


def sink_tokens(trace: Trace, token: int) -> np.ndarray:
    """Returns which image tokens pass `vif.metrics.attention_sinks`, (N,) bool.

    Args:
        trace: An answer.
        token: The generated token whose row is tested, 0-based.
    """
    return metrics.attention_sinks(trace.rows[token][trace.attention_layers].mean((0, 1)), FACTOR)
