"""The conditional VAE: prior p(z | image, question) and posterior q(z | image, question, answer).

Image tokens are encoded once per image; K latent slots read text and image by cross-attention,
O(K N) per question (the published encoder runs self-attention over all image tokens per question).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

LOG_VARIANCE_RANGE = (-5.0, 5.0)


class Gaussian(NamedTuple):
    """A diagonal Gaussian over latents: mean and log-variance, (B, K, z)."""

    mean: torch.Tensor
    log_variance: torch.Tensor

    def sample(self, noise: float | torch.Tensor) -> torch.Tensor:
        """The mean plus noise times the standard deviation; a scalar 0 gives the mean."""
        return self.mean + noise * (0.5 * self.log_variance).exp()


def kl_divergence(posterior: Gaussian, prior: Gaussian) -> torch.Tensor:
    """KL(q || p) in nats, averaged over slots and dimensions as published, (B,)."""
    ratio = posterior.log_variance - prior.log_variance
    gap = (posterior.mean - prior.mean).square() * (-prior.log_variance).exp()
    return 0.5 * (ratio.exp() + gap - 1 - ratio).flatten(1).mean(1)


class PositionFeatures(nn.Module):
    """Random Fourier features of token centres at several bandwidths.

    The inner product of two tokens' features is a sum of Gaussian kernels of their distance
    (Rahimi and Recht 2007), so "the nearest object" is one dot product away.
    """

    frequencies: torch.Tensor

    def __init__(
        self, bandwidths: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4), each: int = 16
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        # Drawn on the CPU under any default device, "meta" included: always the same features.
        directions = torch.randn(len(bandwidths), each, 2, generator=generator, device="cpu")
        frequencies = directions / torch.tensor(bandwidths, device="cpu")[:, None, None]
        self.register_buffer("frequencies", frequencies.reshape(-1, 2))
        self.width = 2 * len(bandwidths) * each + 4

    def forward(self, centres: torch.Tensor) -> torch.Tensor:
        """(..., 2) in [0, 1] to (..., width); NaN centres count as the image's centre."""
        centres = centres.float().nan_to_num(0.5) - 0.5
        phase = centres @ self.frequencies.T
        plain = torch.cat([centres, centres.square()], -1)
        return torch.cat([phase.cos(), phase.sin(), plain], -1)


RELATIVE_SCALES = (0.05, 0.1, 0.2, 0.4)
NUM_RELATIVE_FEATURES = 8 + len(RELATIVE_SCALES)


def relative_features(gap: torch.Tensor) -> torch.Tensor:
    """What a linear weighing of places around an anchor needs: distance and direction.

    Args:
        gap: From the anchor to a token, (..., 2), in [0, 1] image coordinates.

    Returns:
        (..., NUM_RELATIVE_FEATURES): the gap, distance, its square, cosine and sine of the
        direction and of twice the direction (0 at the anchor), Gaussian bumps of the distance.
    """
    square = gap.square().sum(-1, keepdim=True)
    distance = (square + 1e-6).sqrt()
    unit = gap / (distance + 0.02)
    x, y = unit[..., :1], unit[..., 1:]
    bumps = [(-square / (2 * scale**2)).exp() for scale in RELATIVE_SCALES]
    return torch.cat([gap, distance, square, unit, x * x - y * y, 2 * x * y, *bumps], -1)


class Attention(nn.Module):
    """Multi-head attention on SDPA with separate query and key/value streams."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, Q, d) reads (B, M, d); `mask` (B, M) is True where memory may be read."""
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (
            layer(memory).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.key, self.value)
        )
        visible = None if mask is None else mask[:, None, None]
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return self.out(read.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """d -> ffn -> d with GELU."""

    def __init__(self, width: int, ffn: int) -> None:
        super().__init__(nn.Linear(width, ffn), nn.GELU(), nn.Linear(ffn, width))


class ImageBlock(nn.Module):
    """Self-attention over image tokens, once per image."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width, heads)
        self.ffn = FeedForward(width, ffn)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, d) -> (B, N, d)."""
        h = self.norms[0](x)
        x = x + self.attention(h, h)
        return x + self.ffn(self.norms[1](x))


class SlotBlock(nn.Module):
    """Slots read the text, the image, each other."""

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.text = Attention(width, heads)
        self.image = Attention(width, heads)
        self.slots = Attention(width, heads)
        self.ffn = FeedForward(width, ffn)

    def forward(
        self, x: torch.Tensor, text: torch.Tensor, text_mask: torch.Tensor, image: torch.Tensor
    ) -> torch.Tensor:
        """(B * M, K, d) -> (B * M, K, d), with M questions for each of B images."""
        x = x + self.text(self.norms[0](x), text, text_mask)
        # Questions of one image share its keys and values.
        looked = self.norms[1](x).reshape(len(image), -1, x.shape[-1])
        x = x + self.image(looked, image).reshape(x.shape)
        h = self.norms[2](x)
        x = x + self.slots(h, h)
        return x + self.ffn(self.norms[3](x))


class LatentEncoder(nn.Module):
    """Hidden states of the language model to prior and posterior over K latents.

    Prior and posterior share everything but their heads; the posterior also reads the answer,
    marked by an embedding. (The published code keeps two full encoders.)
    """

    def __init__(
        self,
        hidden_size: int,
        width: int,
        num_components: int,
        image_layers: int,
        slot_layers: int,
        heads: int,
        ffn: int,
    ) -> None:
        super().__init__()
        self.position = PositionFeatures()
        self.image_norm = nn.LayerNorm(hidden_size)
        self.image_in = nn.Linear(hidden_size, width)
        self.position_in = nn.Linear(self.position.width, width)
        self.image_blocks = nn.ModuleList(
            ImageBlock(width, heads, ffn) for _ in range(image_layers)
        )
        self.image_out = nn.LayerNorm(width)
        self.text_norm = nn.LayerNorm(hidden_size)
        self.text_in = nn.Linear(hidden_size, width)
        self.answer_mark = nn.Parameter(torch.zeros(width))
        self.slots = nn.Parameter(torch.randn(num_components, width))
        self.slot_blocks = nn.ModuleList(SlotBlock(width, heads, ffn) for _ in range(slot_layers))
        self.slot_out = nn.LayerNorm(width)
        self.prior_head = nn.Linear(width, 2 * width)
        self.posterior_head = nn.Linear(width, 2 * width)
        for head in (self.prior_head, self.posterior_head):
            # With an initial variance of 1 the first samples would be pure noise.
            nn.init.constant_(head.bias[width:], -4.0)
        # When training starts, the posterior equals the prior.
        self.posterior_head.load_state_dict(self.prior_head.state_dict())

    def encode_image(self, states: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        """Image states (B, N, hidden) at centres (N, 2) or (B, N, 2) to a memory (B, N, d)."""
        x = self.image_in(self.image_norm(states)) + self.position_in(self.position(centres))
        for block in self.image_blocks:
            x = block(x)
        return self.image_out(x)

    def forward(
        self,
        memory: torch.Tensor,
        text: torch.Tensor,
        question_mask: torch.Tensor,
        answer_mask: torch.Tensor | None = None,
    ) -> Gaussian:
        """Prior, or with an answer the posterior.

        Args:
            memory: Of `encode_image`, (B, N, d).
            text: Hidden states of text tokens, (B * M, T, hidden), M questions per image.
            question_mask: Which of them are the question, (B * M, T) bool, one at least.
            answer_mask: Which of them are the answer, (B * M, T) bool.

        Returns:
            A diagonal Gaussian over (B * M, K, d) latents.
        """
        text = self.text_in(self.text_norm(text))
        mask = question_mask
        if answer_mask is not None:
            text = text + answer_mask[..., None] * self.answer_mark
            mask = question_mask | answer_mask
        x = self.slots.expand(len(text), -1, -1)
        for block in self.slot_blocks:
            x = block(x, text, mask, memory)
        head = self.prior_head if answer_mask is None else self.posterior_head
        mean, log_variance = head(self.slot_out(x)).chunk(2, -1)
        return Gaussian(mean, log_variance.clamp(*LOG_VARIANCE_RANGE))
