"""What an intervention changed in attention and in the next token, as divergences."""

from __future__ import annotations

import numpy as np

from vif.metrics.amount import TINY, image_weights
from vif.trace import Trace


def divergence(plain: Trace, edited: Trace, token: int = 0) -> np.ndarray:
    """KL(b' || b) over the image tokens, head means normalised to the image, (L,), nats, >= 0.

    How far an intervention moved the look within the image; how much it added is what the
    difference of both `vif.metrics.image_share` says.
    """
    after, before = image_weights(edited, token), image_weights(plain, token)
    return _kl(after, before)


def next_token_divergence(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """KL(p || p') of next-token distributions given as log-probabilities, (..., V) -> (...), nats.

    Args:
        before: ln p, of the plain model.
        after: ln p', of the edited one.
    """
    p = np.exp(before.astype(np.float64))
    # A token that is impossible before adds nothing: 0 times -inf otherwise.
    gap = np.where(p > 0, before - after, 0)
    return np.maximum((p * gap).sum(-1), 0)


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(p, TINY)) - np.log(np.maximum(q, TINY))
    return np.maximum((p * logs).sum(-1), 0)
