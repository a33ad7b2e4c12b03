"""Gaussian mixtures on the image plane, and the weights of image tokens they give.

Works on any set of token centres: any grid, aspect ratio, tiles, several scales. Knows nothing
about where the parameters come from.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

RENDERERS = ("density", "softmax", "uniform")


class MixtureParameters(NamedTuple):
    """A batch of isotropic mixtures.

    Attributes:
        means: (B, K, 2), (x, y) in [0, 1] image coordinates.
        sigmas: Standard deviations, (B, K), in image widths, > 0.
        weights: (B, K), rows sum to 1.
    """

    means: torch.Tensor
    sigmas: torch.Tensor
    weights: torch.Tensor


def render(
    mixture: MixtureParameters, centres: torch.Tensor, renderer: str = "density"
) -> torch.Tensor:
    """The weight of every image token under a mixture.

    ``"density"``: every component is normalised over the tokens, then weighted; a component at
    the border or between few tokens keeps its full weight. ``"softmax"``: the published form,
    softmax over sum_k w_k exp(-d^2 / 2 sigma_k^2); that sum lies in [0, 1], so the largest weight
    is at most e times the smallest (arXiv 2604.12508, released code). ``"uniform"``: 1 / N
    whatever the mixture says; the control that shows what a map is worth.

    Args:
        mixture: The mixtures.
        centres: Token centres, (B, N, 2) or (N, 2), NaN for tokens that are not on the image.
        renderer: One of `RENDERERS`.

    Returns:
        (B, N) float32, rows sum to 1, 0 for tokens that are not on the image.

    Raises:
        ValueError: If the renderer is unknown.
    """
    if renderer not in RENDERERS:
        raise ValueError(f"Unknown renderer {renderer!r}: expected one of {', '.join(RENDERERS)}.")
    weights = mixture.weights.float()[..., None]
    if renderer == "density":
        return (weights * components(mixture, centres)).sum(1)
    exponents, outside = _exponents(mixture, centres)
    if renderer == "uniform":
        return (~outside).float() / (~outside).sum(1, keepdim=True)
    raw = (weights * exponents.exp()).sum(1)
    return raw.masked_fill(outside, float("-inf")).softmax(-1)


def components(mixture: MixtureParameters, centres: torch.Tensor) -> torch.Tensor:
    """Every component alone as a density over tokens, (B, K, N), rows sum to 1; see `render`."""
    exponents, outside = _exponents(mixture, centres)
    return exponents.masked_fill(outside[:, None], float("-inf")).softmax(-1)


def _exponents(
    mixture: MixtureParameters, centres: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """-d^2 / 2 sigma^2, (B, K, N), and which tokens are not on the image, (B, N)."""
    means, sigmas = mixture.means.float(), mixture.sigmas.float()
    centres = centres.float().expand(len(means), -1, -1)
    gap = centres.nan_to_num()[:, None] - means[:, :, None]  # (B, K, N, 2)
    exponents = -gap.square().sum(-1) / (2 * sigmas.square()[..., None])
    return exponents, centres.isnan().any(-1)


def soft_argmax(
    pointing: torch.Tensor, centres: torch.Tensor, min_sigma: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and spread of a distribution over tokens (soft-argmax).

    A linear head from a latent to coordinates hardly learns; a latent that points at tokens does.

    Args:
        pointing: (B, K, N), rows sum to 1, 0 for tokens that are not on the image.
        centres: (B, N, 2) or (N, 2).
        min_sigma: Smallest standard deviation, in image widths.

    Returns:
        means (B, K, 2) and sigmas (B, K), the root mean square distance per axis.
    """
    centres = centres.float().nan_to_num().expand(len(pointing), -1, -1)
    means = pointing @ centres
    second = pointing @ centres.square().sum(-1, keepdim=True)
    variance = (second.squeeze(-1) - means.square().sum(-1)).clamp_min(0) / 2
    return means, (variance + min_sigma**2).sqrt()


def grid_centres(rows: int, columns: int) -> torch.Tensor:
    """Centres of a regular grid, (rows * columns, 2), row-major (x, y) in [0, 1]."""
    x = (torch.arange(columns) + 0.5) / columns
    y = (torch.arange(rows) + 0.5) / rows
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], -1)


def endpoint_grid(side: int) -> torch.Tensor:
    """The published grid, (side * side, 2), row-major: 0 and 1 are the outer tokens' centres."""
    line = torch.linspace(0, 1, side)
    return torch.stack([line.repeat(side), line.repeat_interleave(side)], -1)


def normalised_entropy(weights: torch.Tensor) -> torch.Tensor:
    """Entropy of distributions over N tokens as a share of ln N, (..., N) -> (...)."""
    log = weights.clamp_min(1e-12).log()
    return -(weights * log).sum(-1) / torch.log(torch.tensor(float(weights.shape[-1])))
