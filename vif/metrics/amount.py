"""How much a model looks at the image."""

from __future__ import annotations

import numpy as np

from vif.errors import InputError
from vif.trace import MASS_PARTS, Trace

# A share below this is rounding; dividing by it would mean nothing.
TINY = 1e-12


def others_share(trace: Trace, token: int = 0) -> np.ndarray:
    """Share of attention on the other images of the prompt by layer, mean over heads, (L,)."""
    return trace.mass[token, :, :, MASS_PARTS.index("other images")].mean(1)


def image_share(trace: Trace, token: int = 0, without: np.ndarray | None = None) -> np.ndarray:
    """Share of attention on the image by layer, mean over heads, (L,), in [0, 1].

    VAR_l = mean_h sum_{j in V} a_j (visual attention ratio; ClearSight, CVPR 2025); NaN in layers
    that have no attention. Without some tokens it is what is left of the share; nothing is
    renormalised.

    Args:
        trace: A trace.
        token: Which generated token.
        without: Image tokens to leave out, for example sinks, (N,) or (L, N) bool.
    """
    share = trace.mass[token, :, :, MASS_PARTS.index("image")].mean(1)
    if without is None:
        return share
    return share - (trace.rows[token].mean(1) * without).sum(-1)


def image_weights(trace: Trace, token: int = 0, without: np.ndarray | None = None) -> np.ndarray:
    """Attention normalised over the image tokens, b_j = a_j / sum_V a, mean over heads first.

    Args:
        trace: A trace.
        token: Which generated token.
        without: Image tokens that get 0, (N,) or (L, N) bool.

    Returns:
        (L, N), rows sum to 1, or to 0 where a layer does not look at the image; NaN in layers
        that have no attention.
    """
    rows = trace.rows[token].astype(np.float64).mean(1)
    if without is not None:
        rows = np.where(without, 0, rows)
    return rows / np.maximum(rows.sum(-1, keepdims=True), TINY)


def mean_weights(trace: Trace, token: int = 0) -> np.ndarray:
    """The mean of `image_weights` over all layers that have attention, (N,)."""
    return image_weights(trace, token)[trace.attention_layers].mean(0)


def attenuation(trace: Trace, token: int = 0, without: np.ndarray | None = None) -> float:
    """1 - share on the image in the last quarter of layers / largest share of any layer.

    Near 1 the deep layers no longer look at the image; negative is impossible.
    """
    share = image_share(trace, token, without)[trace.attention_layers]
    last = share[-max(1, len(share) // 4) :].mean()
    return float(1 - last / max(share.max(), TINY))


def modality_dominance(
    trace: Trace, token: int = 0, without: np.ndarray | None = None
) -> np.ndarray:
    """Modality dominance index, (L,): MDI = (A_T / |T|) / (A_O / |O|), arXiv 2508.10552.

    A_T and A_O are what the row gives to the input's text and image tokens, |T| and |O| how many
    there are; above 1 a text token draws more than an image token. The first token and the chat
    format count as text, as published: they often are sinks and raise the index. As it divides by
    counts it cannot compare models with different numbers of image tokens.

    Args:
        trace: A trace.
        token: Which generated token; earlier generated tokens are no input and are left out.
        without: Image tokens to leave out of both A_O and |O|, (N,) or (L, N) bool.
    """
    text, image, num_text, num_image = _economy(trace, token, without)
    return (text / num_text) / np.maximum(image / num_image, TINY)


def economy(
    trace: Trace, token: int = 0, without: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Attention efficiency of text and of image, each (L,): AEI = P / Q, arXiv 2508.10552.

    P is a modality's share of A_T + A_O and Q its share of the tokens; AEI_T / AEI_O is
    `modality_dominance`, whose arguments these are. 1 is what its number of tokens would earn.
    """
    text, image, num_text, num_image = _economy(trace, token, without)
    attended, counted = np.maximum(text + image, TINY), num_text + num_image
    return text / attended * counted / num_text, image / attended * counted / num_image


def _economy(
    trace: Trace, token: int, without: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray | int]:
    if "prompt_tokens" not in trace.meta:
        raise InputError(
            "This trace has no record of its prompt length: record the question again."
        )
    mass = trace.mass[token].mean(1)
    text = mass[:, [MASS_PARTS.index("question"), MASS_PARTS.index("other")]].sum(1)
    number = trace.rows.shape[-1]
    left = number if without is None else number - np.asarray(without).sum(-1)
    num_text = trace.meta["prompt_tokens"] - number - trace.meta.get("other_image_tokens", 0)
    return text, image_share(trace, token, without), num_text, left
