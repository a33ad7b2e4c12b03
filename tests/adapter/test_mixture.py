"""Mixtures on the image plane."""

import math

import pytest
import torch

from vif.adapter.mixture import (
    MixtureParameters,
    grid_centres,
    normalised_entropy,
    render,
    soft_argmax,
)


def one(mean, sigma, weights=None):
    means = torch.tensor([mean], dtype=torch.float32).reshape(1, -1, 2)
    sigmas = torch.full((1, means.shape[1]), sigma)
    weights = torch.tensor([weights]) if weights else torch.ones(1, 1)
    return MixtureParameters(means, sigmas, weights)


@pytest.mark.parametrize(("rows", "columns"), [(12, 12), (5, 9), (1, 7)])
def test_a_map_sums_to_one_and_peaks_at_its_mean(rows, columns):
    centres = grid_centres(rows, columns)
    target = rows * columns // 3
    weights = render(one(centres[target].tolist(), 0.05), centres)
    assert torch.allclose(weights.sum(), torch.ones(()))
    assert int(weights.argmax()) == target


def test_a_component_at_the_border_keeps_its_weight():
    centres = grid_centres(12, 12)
    weights = render(one([[0.0, 0.0], [0.5, 0.5]], 0.05, [0.7, 0.3]), centres)[0]
    corner = (centres < 0.25).all(1)
    assert math.isclose(float(weights[corner].sum()), 0.7, abs_tol=1e-3)


def test_tokens_off_the_image_get_nothing():
    centres = grid_centres(4, 4).clone()
    centres[5] = float("nan")
    for renderer in ("density", "softmax"):
        weights = render(one([0.4, 0.4], 0.2), centres, renderer)
        assert weights[0, 5] == 0
        assert torch.allclose(weights.sum(), torch.ones(()))


def test_the_published_renderer_cannot_be_sparse():
    """Heights in [0, 1] under a softmax: entropy of at least 98.06 % of ln 576 (methods notes)."""
    generator = torch.Generator().manual_seed(0)
    for sigma in (0.01, 0.035, 0.16, 1.0):
        means = torch.rand(16, 4, 2, generator=generator)
        weights = torch.rand(16, 4, generator=generator).softmax(-1)
        mixture = MixtureParameters(means, torch.full((16, 4), sigma), weights)
        published = render(mixture, grid_centres(24, 24), "softmax")
        assert (normalised_entropy(published) >= 6.2328 / math.log(576) - 1e-4).all()
        assert (published.max(-1).values / published.min(-1).values <= math.e + 1e-4).all()
    assert normalised_entropy(render(mixture._replace(sigmas=torch.full((16, 4), 0.02)),
                                     grid_centres(24, 24))).max() < 0.5  # fmt: skip


def test_unknown_renderer_is_refused():
    with pytest.raises(ValueError, match="density"):
        render(one([0.5, 0.5], 0.1), grid_centres(2, 2), "blur")


def test_pointing_gives_mean_and_spread():
    centres = grid_centres(10, 10)
    pointing = torch.zeros(1, 2, 100)
    pointing[0, 0, 37] = 1
    pointing[0, 1, [0, 9]] = 0.5
    means, sigmas = soft_argmax(pointing, centres, min_sigma=0.01)
    assert torch.allclose(means[0, 0], centres[37])
    assert torch.allclose(sigmas[0, 0], torch.tensor(0.01), atol=1e-4)
    assert torch.allclose(means[0, 1], (centres[0] + centres[9]) / 2)
    variance = (centres[0, 0] - centres[9, 0]).square() / 4 / 2
    assert torch.allclose(sigmas[0, 1], (variance + 1e-4).sqrt())


def test_entropy_is_one_for_uniform_and_zero_for_one_token():
    assert torch.allclose(normalised_entropy(torch.full((3, 144), 1 / 144)), torch.ones(3))
    assert normalised_entropy(torch.eye(144)[:2]).abs().max() < 1e-6


def test_bfloat16_input_still_sums_to_one():
    mixture = MixtureParameters(*(part.bfloat16() for part in one([0.3, 0.8], 0.07)))
    weights = render(mixture, grid_centres(12, 12).bfloat16())
    assert weights.dtype == torch.float32
    assert torch.allclose(weights.sum(), torch.ones(()))


def test_the_uniform_renderer_ignores_the_mixture_and_what_is_not_on_the_image() -> None:
    """The control has no components to point with."""
    centres = grid_centres(2, 2).clone()
    centres[3] = float("nan")
    mixture = MixtureParameters(torch.rand(1, 2, 2), torch.full((1, 2), 0.1), torch.ones(1, 2) / 2)
    found = render(mixture, centres, "uniform")
    torch.testing.assert_close(found, torch.tensor([[1 / 3, 1 / 3, 1 / 3, 0]]))
