"""How widely a model looks over the image."""

from __future__ import annotations

import cv2
import numpy as np

from vif.metrics.amount import TINY, image_weights
from vif.metrics.grid import base_grid
from vif.trace import Trace


def entropy_share(weights: np.ndarray) -> np.ndarray:
    """Entropy of distributions over N tokens as a share of ln N, (..., N) -> (...)."""
    return _entropy(weights) / np.log(weights.shape[-1])


def visual_entropy(trace: Trace, token: int = 0, without: np.ndarray | None = None) -> np.ndarray:
    """Entropy of attention over image tokens by layer, as a share of ln N, (L,), in [0, 1].

    H / ln N with H = -sum_V b ln b: 1 is a uniform look, 0 a single token. Taken over the head mean
    (CARVE, arXiv 2509.06461, eq. 3.3, renormalised to the image).
    """
    return entropy_share(image_weights(trace, token, without))


def focus(trace: Trace, token: int = 0, without: np.ndarray | None = None) -> np.ndarray:
    """1 - H / ln N by layer, (L,), in [0, 1]; see `visual_entropy`."""
    return 1 - visual_entropy(trace, token, without)


def effective_tokens(weights: np.ndarray) -> np.ndarray:
    """exp(H): over how many tokens a uniform look would be as wide, (..., N) -> (...), 1 to N."""
    return np.exp(_entropy(weights))


def top_mass(weights: np.ndarray, share: float) -> np.ndarray:
    """Mass of the k largest weights with k = ceil(share N), (..., N) -> (...), in [0, 1].

    A uniform map has k / N. Sinks make it high: read it next to in-box mass and sink share.

    Args:
        weights: Rows that sum to 1.
        share: Of the tokens, in (0, 1], for example 0.01, 0.05 or 0.1.
    """
    # Rounded first, or 0.07 * 100 would count as 8 tokens.
    k = int(np.ceil(round(share * weights.shape[-1], 9)))
    return np.sort(weights, -1)[..., -k:].sum(-1)


def gini(weights: np.ndarray) -> np.ndarray:
    """Gini index of weights, (..., N) -> (...): 0 for uniform, (N - 1) / N for one token.

    G = sum_i (2 i - N - 1) w_(i) / (N sum w) over weights in ascending order.
    """
    number = weights.shape[-1]
    ranks = 2 * np.arange(1, number + 1) - number - 1
    total = np.maximum(weights.sum(-1), TINY)
    return (np.sort(weights, -1) * ranks).sum(-1) / (number * total)


def component_entropy(
    trace: Trace, token: int = 0, without: np.ndarray | None = None
) -> np.ndarray:
    """Spatial entropy by layer on the grid of the whole image, (L,); see `map_component_entropy`.

    Low is one blob; unlike `visual_entropy` it changes when tokens change places.
    """
    maps = image_weights(trace, token, without)[:, base_grid(trace)]
    found = np.full(len(maps), np.nan)
    for layer in trace.attention_layers:
        found[layer] = map_component_entropy(maps[layer])
    return found


def map_component_entropy(grid: np.ndarray) -> float:
    """SE = -sum_n P_n ln P_n over connected components, P_n = |C_n| / sum |C|, in nats.

    The map is binarised at its mean (above it) and neighbours touch at corners too, 8 of them
    (arXiv 2503.06287). A map without any contrast has no component: 0.

    Args:
        grid: A map, (R, C).
    """
    # The mean of equal numbers may round to below them.
    above = (grid > grid.mean() * (1 + 1e-9)).astype(np.uint8)
    *_, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA].astype(float)
    return float(_entropy(sizes / sizes.sum())) if len(sizes) else 0.0


def _entropy(weights: np.ndarray) -> np.ndarray:
    # 0 ln 0 is 0; the sum starts at 0.0 so that a single token gives 0 and not -0.
    return 0.0 - (weights * np.log(np.maximum(weights, TINY))).sum(-1)
