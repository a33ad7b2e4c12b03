"""Sinks: image tokens that draw attention without telling anything, by four tests.

Every test gives a mask; `image_share`, `image_weights` and what is built on them take it as
``without``.
"""

from __future__ import annotations

import numpy as np

from vif.metrics.amount import TINY
from vif.trace import Trace

ACTIVATION = 20.0
EVEN_SHARES = 5.0
COSINE = 0.9
EMPTY = 0.5


def massive_dimensions(first: np.ndarray, threshold: float = ACTIVATION) -> np.ndarray:
    """Hidden dimensions in which the first token is massive: |x_d| / RMS(x) > threshold somewhere.

    VAR (arXiv 2503.03321) gives such dimensions for a few models as constants (1415 and 2533 of
    LLaVA-1.5-7B); where the first token is the sink of all sinks they can be read from it.

    Args:
        first: Hidden states of the first token that go into layers, (L, d).
        threshold: VAR's tau.

    Returns:
        Their indices; none in a model without massive activations.
    """
    return np.flatnonzero((_by_rms(first) > threshold).any(0))


def activation_sinks(
    states: np.ndarray, dimensions: np.ndarray, threshold: float = ACTIVATION
) -> np.ndarray:
    """Test (a), VAR (arXiv 2503.03321): phi(x) = max_{d in D} |x_d / RMS(x)| > tau.

    Args:
        states: Hidden states of image tokens that go into a layer, (..., N, d).
        dimensions: D, see `massive_dimensions`.
        threshold: tau.

    Returns:
        (..., N) bool.
    """
    if len(dimensions) == 0:
        return np.zeros(states.shape[:-1], bool)
    return _by_rms(states)[..., dimensions].max(-1) > threshold


def attention_sinks(columns: np.ndarray | Trace, even_shares: float = EVEN_SHARES) -> np.ndarray:
    """Test (b), ACT (arXiv 2406.15765): the mean of a column, c_j, is over alpha times even.

    c_j = sum_i a_ij / (rows that see j), and even is the mean c of all image tokens. ACT compares
    with alpha / (all tokens); within the image the test does not depend on how much the text draws.

    Args:
        columns: c, (..., N), mean over heads; a trace stands for the rows of its generated tokens.
        even_shares: alpha.

    Returns:
        (..., N) bool; (L, N) for a trace.
    """
    means = columns.rows.mean((0, 2)) if isinstance(columns, Trace) else columns
    return means > even_shares * means.mean(-1, keepdims=True)


def cosine_sinks(states: np.ndarray, first: np.ndarray, threshold: float = COSINE) -> np.ndarray:
    """Test (c): cos(x_j, x_first) > threshold, since sinks resemble the first token.

    The threshold is ours; the observation is made for middle layers.

    Args:
        states: Hidden states of image tokens, (L, N, d).
        first: Those of the first token, (L, d).
        threshold: Cosine.

    Returns:
        (L, N) bool.
    """
    norms = np.linalg.norm(states, axis=-1) * np.linalg.norm(first, axis=-1)[:, None]
    cosines = np.einsum("lnd,ld->ln", states, first) / np.maximum(norms, TINY)
    return cosines > threshold


def value_sinks(
    attention: np.ndarray,
    value_norms: np.ndarray,
    even_shares: float = EVEN_SHARES,
    empty: float = EMPTY,
) -> np.ndarray:
    """Test (d): a_j is over alpha times even while ||v_j W_O|| is under a part of the others' mean.

    High weight, no content (VAR's test of the residual contribution; both limits are ours).

    Args:
        attention: To image tokens, (L, H, N).
        value_norms: ||v_j W_O|| per head, (L, H, N).
        even_shares: alpha.
        empty: The part.

    Returns:
        (L, N) bool, over head means.
    """
    norms = value_norms.mean(1)
    return attention_sinks(attention.mean(1), even_shares) & (
        norms < empty * norms.mean(-1, keepdims=True)
    )


def sink_share(trace: Trace, sinks: np.ndarray, token: int = 0) -> np.ndarray:
    """How much of the attention on the image lies on sinks, (L,), in [0, 1]."""
    rows = trace.rows[token].mean(1)
    return (rows * sinks).sum(-1) / np.maximum(rows.sum(-1), TINY)


def _by_rms(states: np.ndarray) -> np.ndarray:
    rms = np.sqrt(np.square(states).mean(-1, keepdims=True))
    return np.abs(states) / np.maximum(rms, TINY)
