"""The sparsity losses of a map: few image tokens, narrow components."""

from __future__ import annotations

import torch

from vif.adapter.mixture import normalised_entropy


def sparsity(
    weights: torch.Tensor,
    sigmas: torch.Tensor,
    entropy_weight: float = 1.0,
    volume_weight: float = 1.0,
) -> torch.Tensor:
    """Sparsity loss as published: entropy of the map in nats and mean squared sigma, (B,).

    Args:
        weights: Maps, (B, N).
        sigmas: (B, K).
        entropy_weight: Of the first.
        volume_weight: Of the second.
    """
    return entropy_weight * entropy_loss(weights) + volume_weight * volume_loss(sigmas)


def entropy_loss(weights: torch.Tensor) -> torch.Tensor:
    """Entropy of maps (B, N) in nats, (B,)."""
    return normalised_entropy(weights) * torch.log(torch.tensor(float(weights.shape[-1])))


def volume_loss(sigmas: torch.Tensor) -> torch.Tensor:
    """Mean squared standard deviation of components (B, K), (B,)."""
    return sigmas.square().mean(-1)
