"""Weighted EM: recovers known mixtures, and copes with extreme maps."""

import numpy as np
import pytest

from vif.adapter.em import fit_mixture
from vif.adapter.mixture import grid_centres

GRID = grid_centres(32, 32).numpy().astype(float)
MIN_SIGMA = 0.02


def density(means, sigmas, weights):
    """Weights of the points of `GRID` under a known mixture."""
    gaps = np.square(GRID[:, None] - np.asarray(means)).sum(-1)
    sigmas = np.asarray(sigmas)
    parts = np.exp(-gaps / (2 * sigmas**2)) / sigmas**2
    return parts @ np.asarray(weights)


def likelihood(fit, weights):
    return weights @ np.log(density(fit.means, fit.sigmas, fit.weights) + 1e-300) / weights.sum()


def test_a_known_mixture_is_found_again():
    means, sigmas = [[0.2, 0.3], [0.7, 0.25], [0.55, 0.75]], [0.04, 0.06, 0.09]
    weights = [0.5, 0.2, 0.3]
    fit = fit_mixture(GRID, density(means, sigmas, weights), 3, MIN_SIGMA)
    order = [0, 2, 1]
    assert np.allclose(fit.means, np.array(means)[order], atol=0.01)
    assert np.allclose(fit.sigmas, np.array(sigmas)[order], atol=0.01)
    assert np.allclose(fit.weights, np.array(weights)[order], atol=0.02)


def test_one_component_is_mean_and_spread():
    weights = np.random.default_rng(0).random(len(GRID)) ** 4
    share = weights / weights.sum()
    fit = fit_mixture(GRID, weights, 1, MIN_SIGMA)
    mean = share @ GRID
    assert np.allclose(fit.means[0], mean)
    assert np.isclose(fit.sigmas[0] ** 2, share @ np.square(GRID - mean).sum(1) / 2)


def test_a_weight_counts_like_repeated_points():
    rng = np.random.default_rng(1)
    points, counts = rng.random((20, 2)), rng.integers(1, 5, 20)
    weighted = fit_mixture(points, counts.astype(float), 1, MIN_SIGMA)
    repeated = fit_mixture(np.repeat(points, counts, 0), np.ones(counts.sum()), 1, MIN_SIGMA)
    assert np.allclose(weighted.means, repeated.means)
    assert np.allclose(weighted.sigmas, repeated.sigmas)


def test_more_components_fit_better():
    weights = density([[0.2, 0.2], [0.8, 0.3], [0.4, 0.8], [0.7, 0.7]], [0.05] * 4, [0.25] * 4)
    found = [likelihood(fit_mixture(GRID, weights, k, MIN_SIGMA), weights) for k in (1, 2, 4)]
    assert found == sorted(found)


def test_the_same_seed_gives_the_same_mixture():
    weights = np.random.default_rng(2).random(len(GRID))
    first, again, other = (fit_mixture(GRID, weights, 6, MIN_SIGMA, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.means, other.means)


def valid(fit, num_components):
    assert fit.means.shape == (num_components, 2)
    assert all(np.isfinite(part).all() for part in fit)
    assert np.isclose(fit.weights.sum(), 1)
    assert (np.diff(fit.weights) <= 0).all()
    assert (fit.sigmas >= MIN_SIGMA).all()


def test_a_uniform_map_is_covered():
    fit = fit_mixture(GRID, np.ones(len(GRID)), 8, MIN_SIGMA)
    valid(fit, 8)
    assert np.allclose(fit.weights @ fit.means, 0.5, atol=0.01)
    assert fit.weights.max() < 0.3


def test_one_token_gives_one_place():
    weights = np.zeros(len(GRID))
    weights[100] = 3.0
    fit = fit_mixture(GRID, weights, 4, MIN_SIGMA)
    valid(fit, 4)
    assert np.allclose(fit.means, GRID[100])
    assert np.allclose(fit.sigmas, MIN_SIGMA)


def test_surplus_components_leave_the_mean_of_fewer_places_unchanged():
    weights = np.zeros(len(GRID))
    weights[[0, 900]] = 1.0, 3.0
    fit = fit_mixture(GRID, weights, 5, MIN_SIGMA)
    valid(fit, 5)
    assert np.allclose(fit.weights @ fit.means, 0.25 * GRID[0] + 0.75 * GRID[900])


def test_tokens_off_the_image_are_left_out():
    weights = density([[0.3, 0.6]], [0.05], [1.0])
    outside = np.full((5, 2), np.nan)
    fit = fit_mixture(
        np.concatenate([outside, GRID]), np.concatenate([np.full(5, 100.0), weights]), 2, MIN_SIGMA
    )
    valid(fit, 2)
    assert np.allclose(fit.weights @ fit.means, [0.3, 0.6], atol=0.01)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.zeros(len(GRID)), "No point"),
        (np.full(len(GRID), np.nan), "finite"),
        (-np.ones(len(GRID)), "at least 0"),
    ],
)
def test_unusable_weights_are_refused(weights, words):
    with pytest.raises(ValueError, match=words):
        fit_mixture(GRID, weights, 2, MIN_SIGMA)


def test_only_points_without_a_place_are_refused():
    with pytest.raises(ValueError, match="No point"):
        fit_mixture(np.full((4, 2), np.nan), np.ones(4), 2, MIN_SIGMA)
