"""A Gaussian mixture fitted to weights of points: expectation maximisation, weighted and small.

Knows nothing about attention or models. The same input and seed give the same mixture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROUNDS, TOLERANCE = 100, 1e-6


class FittedMixture(NamedTuple):
    """An isotropic mixture on the plane, the heaviest component first.

    Attributes:
        means: (K, 2).
        sigmas: Standard deviations, (K,), > 0.
        weights: (K,), sum to 1.
    """

    means: np.ndarray
    sigmas: np.ndarray
    weights: np.ndarray


def fit_mixture(
    centres: np.ndarray,
    weights: np.ndarray,
    num_components: int,
    min_sigma: float,
    seed: int = 0,
) -> FittedMixture:
    """The mixture of isotropic Gaussians that makes weighted points most likely.

    A point of weight w counts as w points at one place. Starts from points drawn by weight and
    distance (k-means++, Arthur and Vassilvitskii 2007).

    Args:
        centres: (N, 2); a point with a NaN is left out, whatever its weight.
        weights: (N,), >= 0.
        num_components: K, >= 1.
        min_sigma: Least standard deviation; keeps a component off a single point.
        seed: Of the start.

    Returns:
        K components; some have weight 0 where there are fewer places than components.

    Raises:
        ValueError: If a weight is negative or not finite, or nothing that lies anywhere has one.
    """
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("Weights must be finite and at least 0.")
    known = ~np.isnan(centres).any(-1) & (weights > 0)
    if not known.any():
        raise ValueError("No point has both a place and a weight above 0.")
    points = centres[known].astype(np.float64)
    share = weights[known].astype(np.float64)
    share /= share.sum()
    fit = _start(points, share, num_components, min_sigma, seed)
    before = -np.inf
    for _ in range(ROUNDS):
        log = _log_joint(points, fit)
        total = np.logaddexp.reduce(log, 1)
        fit = _update(points, share[:, None] * np.exp(log - total[:, None]), fit, min_sigma)
        likelihood = float(share @ total)
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
    order = np.argsort(-fit.weights, kind="stable")
    return FittedMixture(fit.means[order], fit.sigmas[order], fit.weights[order])


def _start(
    points: np.ndarray, share: np.ndarray, count: int, min_sigma: float, seed: int
) -> FittedMixture:
    """Starts with means far apart on the weight, and equal sigmas."""
    rng = np.random.default_rng(seed)
    means = points[[rng.choice(len(points), p=share)]]
    while len(means) < count:
        gaps = np.square(points[:, None] - means).sum(-1).min(1)
        chance = share * gaps
        # With fewer places than components the rest start on top of others.
        chance = chance / chance.sum() if chance.sum() > 0 else share
        means = np.concatenate([means, points[[rng.choice(len(points), p=chance)]]])
    spread = share @ np.square(points - share @ points).sum(-1) / 2
    sigma = np.sqrt(max(spread / count, min_sigma**2))
    return FittedMixture(means, np.full(count, sigma), np.full(count, 1 / count))


def _log_joint(points: np.ndarray, fit: FittedMixture) -> np.ndarray:
    """Log w_k N(x_n | mean_k, sigma_k), (N, K)."""
    gaps = np.square(points[:, None] - fit.means).sum(-1)
    with np.errstate(divide="ignore"):
        log = np.log(fit.weights) - np.log(2 * np.pi * fit.sigmas**2)
    return log - gaps / (2 * fit.sigmas**2)


def _update(
    points: np.ndarray, parts: np.ndarray, fit: FittedMixture, min_sigma: float
) -> FittedMixture:
    """Maximises the likelihood given every point's parts (N, K), which sum to 1 in all."""
    weights = parts.sum(0)
    alive = weights > 1e-12
    safe = np.where(alive, weights, 1)
    means = np.where(alive[:, None], parts.T @ points / safe[:, None], fit.means)
    gaps = np.square(points[:, None] - means).sum(-1)
    variances = (parts * gaps).sum(0) / (2 * safe)
    sigmas = np.sqrt(np.maximum(variances, min_sigma**2))
    return FittedMixture(means, sigmas, np.where(alive, weights, 0) / weights[alive].sum())
