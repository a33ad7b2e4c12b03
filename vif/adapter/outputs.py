"""What an adapter keeps of an image, and what it gives for a question."""

from __future__ import annotations

from typing import NamedTuple

import torch


class ImageMemory(NamedTuple):
    """What of an image is computed once for all its questions.

    Attributes:
        tokens: Encoded image tokens, (B, N, width).
        keys: What latents point at, (B, N, width).
        centres: (B, N, 2).
    """

    tokens: torch.Tensor
    keys: torch.Tensor
    centres: torch.Tensor


class Rendered(NamedTuple):
    """A latent turned into a map.

    Attributes:
        z: Latents, (B, K, width).
        pointing: What each latent points at, (B, K, N), rows sum to 1.
        means: (B, K, 2) in [0, 1] image coordinates.
        sigmas: (B, K), in image widths.
        weights: (B, K), rows sum to 1.
        map: (B, N), rows sum to 1.
        gate: Factor on alpha, (B, num_layers, num_heads), in (0, 2).
    """

    z: torch.Tensor
    pointing: torch.Tensor
    means: torch.Tensor
    sigmas: torch.Tensor
    weights: torch.Tensor
    map: torch.Tensor
    gate: torch.Tensor


class Inference(NamedTuple):
    """Outcome of `VIFAdapter.infer`; fields as in `Rendered`, losses of shape (B,)."""

    z: torch.Tensor
    means: torch.Tensor
    sigmas: torch.Tensor
    weights: torch.Tensor
    map: torch.Tensor
    gate: torch.Tensor
    kl: torch.Tensor
    sparsity: torch.Tensor
