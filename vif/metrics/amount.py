"""How much and how sharply a model looks at the image: one function, one formula."""

from __future__ import annotations

import numpy as np

from vif.trace import Trace


def image_share(trace: Trace, token: int = 0) -> np.ndarray:
    """Share of attention on the image by layer, mean over heads, (L,), in [0, 1].

    The row is the one that predicts the token (visual attention ratio; ClearSight, CVPR 2025).

    Args:
        trace: A trace.
        token: Which generated token.
    """
    return trace.mass[token, :, :, 0].mean(1)


def image_weights(trace: Trace, token: int = 0) -> np.ndarray:
    """Head-mean attention normalised over the image tokens, (L, N), rows sum to 1."""
    rows = trace.rows[token].astype(np.float64).mean(1)
    return rows / np.maximum(rows.sum(-1, keepdims=True), 1e-12)


def visual_entropy(trace: Trace, token: int = 0) -> np.ndarray:
    """Entropy of attention over image tokens by layer, as a share of ln N, (L,), in [0, 1].

    1 is a uniform look, 0 a single token; focus is 1 minus this. Taken over the head mean
    (CARVE, arXiv 2509.06461, eq. 3.3, renormalised to the image).
    """
    return entropy_share(image_weights(trace, token))


def entropy_share(weights: np.ndarray) -> np.ndarray:
    """Entropy of distributions over N tokens as a share of ln N, (..., N) -> (...)."""
    log = np.log(np.maximum(weights, 1e-12))
    return -(weights * log).sum(-1) / np.log(weights.shape[-1])


def in_box_mass(trace: Trace, truth: np.ndarray, token: int = 0) -> np.ndarray:
    """Share of the image attention that lies on the true tokens, by layer, (L,), in [0, 1].

    Args:
        trace: A trace.
        truth: Share of every token's cell that is covered by the truth, (N,), in [0, 1].
        token: Which generated token.
    """
    return image_weights(trace, token) @ truth


def points_into(weights: np.ndarray, truth: np.ndarray) -> bool:
    """Pointing game: whether the largest weight (N,) lies on a token that the truth touches."""
    return bool(truth[int(np.argmax(weights))] > 0)


def attenuation(trace: Trace, token: int = 0) -> float:
    """1 - share on the image in the last quarter of layers / largest share of any layer."""
    share = image_share(trace, token)
    last = share[-max(1, len(share) // 4) :].mean()
    return float(1 - last / max(share.max(), 1e-12))
