"""How attention to a token changes from layer to layer (AIF, arXiv 2604.15809)."""

from __future__ import annotations

import numpy as np

from vif.metrics.amount import TINY
from vif.trace import Trace


def token_dynamics(trace: Trace) -> np.ndarray:
    """d_j^l = max_i a_ij over the rows a trace holds, those of generated tokens, (L, N).

    AIF takes all text rows; `vif.probes.read_internals` collects those. Heads are averaged before
    the maximum, which the paper leaves open.
    """
    return trace.rows.mean(2).max(0)


def token_entropy(dynamics: np.ndarray) -> np.ndarray:
    """Ent_j = -sum_l q_j^l ln q_j^l with q_j^l = d_j^l / sum_l d_j^l, (..., N), 0 to ln L.

    High: attended in every layer alike, which AIF calls unimportant; low: only in some.

    Args:
        dynamics: d, (..., L, N), >= 0, NaN in layers that have no attention. A token that no layer
            attends to counts as even.
    """
    attends = ~np.isnan(np.moveaxis(dynamics, -2, 0)).reshape(dynamics.shape[-2], -1).any(1)
    dynamics = dynamics[..., attends, :]
    total = dynamics.sum(-2, keepdims=True)
    q = np.where(total > 0, dynamics / np.maximum(total, TINY), 1 / dynamics.shape[-2])
    return 0.0 - (q * np.log(np.maximum(q, TINY))).sum(-2)


def low_entropy_recall(entropy: np.ndarray, truth: np.ndarray, share: float = 0.2) -> float:
    """Part of the true tokens that is among the `share` of tokens with the lowest entropy.

    AIF reports 0.50, 0.41 and 0.31 for small, medium and large objects at a share of 0.2; chance is
    `share`. NaN without any truth.

    Args:
        entropy: Of `token_entropy`, (N,).
        truth: Share of every token's cell that is covered by the truth, (N,).
        share: Of the tokens.
    """
    if truth.sum() == 0:
        return float("nan")
    lowest = np.argsort(entropy, kind="stable")[: int(np.ceil(share * len(entropy)))]
    return float(truth[lowest].sum() / truth.sum())
