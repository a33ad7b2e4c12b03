"""Content of attention: weights times values, and head outputs with and without it."""

from __future__ import annotations

import numpy as np

from vif.metrics.amount import TINY


def contribution(attention: np.ndarray, value_norms: np.ndarray) -> np.ndarray:
    """a_ij ||v_j W_O|| as shares of the image tokens, mean over heads, (L, N), rows sum to 1.

    Attention weighted by content (norm-based analysis, arXiv 2004.10102): a sink has a high weight
    and a small value.

    Args:
        attention: To image tokens, (L, H, N).
        value_norms: Norm of every value after its head's part of the output projection, (L, H, N).
    """
    brought = (attention.astype(np.float64) * value_norms).mean(1)
    return brought / np.maximum(brought.sum(-1, keepdims=True), TINY)


def sensitivity(
    with_image: np.ndarray, without_image: np.ndarray, relative: bool = False
) -> np.ndarray:
    """Visual head divergence, (L, H): VHD = ||A(y | image, text) - A(y | text)||_2.

    arXiv 2412.13949. L2 favours heads of large norm; relative divides by ||A(y | image, text)||.

    Args:
        with_image: Head outputs before W_O of the row that predicts the first token, (L, H, D).
        without_image: The same for the prompt without its image.
        relative: See above.
    """
    found = np.linalg.norm(with_image - without_image, axis=-1)
    if not relative:
        return found
    return found / np.maximum(np.linalg.norm(with_image, axis=-1), TINY)


def total_sensitivity(divergence: np.ndarray, top: int) -> float:
    """T-VHD = sum_l of the `top` largest VHD of layer l (arXiv 2412.13949).

    Args:
        divergence: Of `sensitivity`, (L, H); layers of NaN count nothing.
        top: Heads per layer, >= 1.
    """
    known = divergence[~np.isnan(divergence).any(1)]
    return float(np.sort(known, 1)[:, -top:].sum())
