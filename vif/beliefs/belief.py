"""What is believed about where to look: the prior and the posteriors of one question, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LatentMap:
    """A latent as a mixture over the image.

    Attributes:
        means: (K, 2), in [0, 1] image coordinates.
        sigmas: (K,), > 0, as in `vif.trace.Mixture`.
        weights: (K,), sum to 1.
        map: Weight of every image token, (N,), sums to 1.
    """

    means: np.ndarray
    sigmas: np.ndarray
    weights: np.ndarray
    map: np.ndarray


@dataclass(frozen=True)
class Belief:
    """What is believed about where to look, at one learning layer.

    Attributes:
        answer: The answer that was read; None for the prior.
        probability: That the plain model says it, in [0, 1]; NaN for the prior.
        mean: The mean latent.
        samples: Drawn latents.
        kl: KL(q || p) in nats, averaged over latents and dimensions as published; 0 for the prior.
        overlap: sum_n min(p_n, q_n) of this map and the prior's, in [0, 1].
        refined: The prior's mean times p(answer | place), normalised; None for the prior.
    """

    answer: str | None
    probability: float
    mean: LatentMap
    samples: tuple[LatentMap, ...]
    kl: float
    overlap: float
    refined: LatentMap | None = None


@dataclass(frozen=True)
class Beliefs:
    """The prior and the posteriors of some answers to one question.

    Attributes:
        prior: By learning layer.
        posteriors: For every answer, by learning layer.
        centres: Token centres, (N, 2), as in `vif.trace.Trace`, like the two that follow.
        cells: (N, 4).
        blocks: (N,).
        trained_on: What the adapter says it was trained on; empty if it says nothing.
    """

    prior: dict[int, Belief]
    posteriors: tuple[dict[int, Belief], ...]
    centres: np.ndarray
    cells: np.ndarray
    blocks: np.ndarray
    trained_on: str
