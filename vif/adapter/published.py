"""The published form of VIF (arXiv 2604.12508, released code), for its checkpoints and for study.

It differs from `vif.adapter.VIFAdapter` in three places: every question encodes all image tokens
again, with attention to and from the text; mean and spread of a component are linear functions
of its latent; one strength serves all questions, layers and heads. Modules are named as in its
checkpoints. Knows nothing about files.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from typing_extensions import override

from vif.adapter.base import VIFAdapter
from vif.adapter.config import VIFConfig
from vif.adapter.latent import LOG_VARIANCE_RANGE, FeedForward, Gaussian
from vif.adapter.mixture import MixtureParameters, components, endpoint_grid, render
from vif.adapter.outputs import ImageMemory, Rendered


class TwoStreamBlock(nn.Module):
    """Image and text each read themselves, then each other, then pass a feed-forward part.

    Queries are normalised; keys and values of the other stream are not, as published.
    """

    def __init__(self, width: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.vision_norm1, self.text_norm1 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.vision_self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.text_self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.vision_norm2, self.text_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.v2t_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.t2v_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.vision_norm3, self.text_norm3 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.vision_ffn, self.text_ffn = FeedForward(width, ffn), FeedForward(width, ffn)

    def forward(
        self, image: torch.Tensor, text: torch.Tensor, padding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, N, d) and (B, T, d), `padding` (B, T) True where there is no text, to the same."""
        h = self.vision_norm1(image)
        image = image + _read(self.vision_self_attn, h, h)
        h = self.text_norm1(text)
        # The published code lets text read its padding, so that an answer depends on its batch.
        text = text + _read(self.text_self_attn, h, h, padding)
        image = image + _read(self.v2t_attn, self.vision_norm2(image), text, padding)
        text = text + _read(self.t2v_attn, self.text_norm2(text), image)
        image = image + self.vision_ffn(self.vision_norm3(image))
        return image, text + self.text_ffn(self.text_norm3(text))


class TwoStreamEncoder(nn.Module):
    """Encodes the image tokens together with the text."""

    def __init__(self, config: VIFConfig) -> None:
        super().__init__()
        width = config.width
        self.img_proj = nn.Linear(config.hidden_size, width)
        self.txt_proj = nn.Linear(config.hidden_size, width)
        self.layers = nn.ModuleList(
            TwoStreamBlock(width, config.latent_heads, config.ffn_dim)
            for _ in range(config.slot_layers)
        )
        self.vision_norm = nn.LayerNorm(width)
        # Its output is unused, but the published checkpoints hold its parameters.
        self.text_norm = nn.LayerNorm(width)

    def forward(
        self, image: torch.Tensor, text: torch.Tensor, padding: torch.Tensor
    ) -> torch.Tensor:
        """(B, N, hidden) and (B, T, hidden) to (B, N, d)."""
        image, text = self.img_proj(image), self.txt_proj(text)
        for layer in self.layers:
            image, text = layer(image, text, padding)
        return self.vision_norm(image)


class PublishedEncoder(nn.Module):
    """Prior and posterior over K latents: two full encoders, one shared set of slot queries."""

    def __init__(self, config: VIFConfig) -> None:
        super().__init__()
        width = config.width
        self.prior_encoder = TwoStreamEncoder(config)
        self.posterior_encoder = TwoStreamEncoder(config)
        self.latent_queries = nn.Parameter(torch.randn(1, config.num_components, width))
        self.compress_attn = nn.MultiheadAttention(width, config.latent_heads, batch_first=True)
        self.prior_mean_head = nn.Linear(width, width)
        self.prior_logvar_head = nn.Linear(width, width)
        self.posterior_mean_head = nn.Linear(width, width)
        self.posterior_logvar_head = nn.Linear(width, width)

    def forward(
        self,
        memory: torch.Tensor,
        text: torch.Tensor,
        question_mask: torch.Tensor,
        answer_mask: torch.Tensor | None = None,
    ) -> Gaussian:
        """As `vif.adapter.latent.LatentEncoder.forward`, with other things to read.

        `memory` holds the hidden states of the image tokens themselves, (B, N, hidden), and
        `question_mask` marks all text but the answer.
        """
        image = memory.repeat_interleave(len(text) // len(memory), 0)
        if answer_mask is None:
            return self.prior(image, *_gather(text, question_mask))
        return self.posterior(image, *_gather(text, question_mask | answer_mask))

    def prior(self, image: torch.Tensor, text: torch.Tensor, padding: torch.Tensor) -> Gaussian:
        """From image (B, N, hidden) and text (B, T, hidden); `padding` (B, T) is no text."""
        slots = self._compress(self.prior_encoder(image, text, padding))
        return _gaussian(self.prior_mean_head(slots), self.prior_logvar_head(slots))

    def posterior(self, image: torch.Tensor, text: torch.Tensor, padding: torch.Tensor) -> Gaussian:
        """The same for text that continues with the answer."""
        slots = self._compress(self.posterior_encoder(image, text, padding))
        return _gaussian(self.posterior_mean_head(slots), self.posterior_logvar_head(slots))

    def _compress(self, image: torch.Tensor) -> torch.Tensor:
        return _read(self.compress_attn, self.latent_queries.expand(len(image), -1, -1), image)


class MixtureHeads(nn.Module):
    """Latents to mixtures, each parameter linear in the latent before it is bounded."""

    def __init__(self, width: int, min_sigma: float) -> None:
        super().__init__()
        self.min_sigma = min_sigma
        self.pos_head = nn.Linear(width, 2)
        self.sigma_head = nn.Linear(width, 1)
        self.weight_head = nn.Linear(width, 1)
        for head in (self.pos_head, self.sigma_head, self.weight_head):
            nn.init.normal_(head.weight, std=0.01)
        nn.init.uniform_(self.pos_head.bias, -1, 1)
        nn.init.constant_(self.sigma_head.bias, -2)
        nn.init.zeros_(self.weight_head.bias)

    def forward(self, z: torch.Tensor) -> MixtureParameters:
        """(B, K, d) to mixtures."""
        return MixtureParameters(
            self.pos_head(z).sigmoid(),
            F.softplus(self.sigma_head(z)).squeeze(-1) + self.min_sigma,
            self.weight_head(z).squeeze(-1).softmax(-1),
        )


class PublishedVIF(VIFAdapter):
    """VIF as its authors released it; same calls as `VIFAdapter`.

    Text reads all of the prompt that is not the image, the system prompt included.
    """

    encoder = "published"

    reads_whole_prompt = True

    @override
    def _build(self, config: VIFConfig) -> None:
        self.latent = PublishedEncoder(config)
        self.renderer = MixtureHeads(config.width, config.min_sigma)

    @override
    def remember(self, states: torch.Tensor, centres: torch.Tensor) -> ImageMemory:
        """Keeps the states: nothing of this form can be shared between questions."""
        states = states.float()
        return ImageMemory(states, states, centres.to(states.device).expand(len(states), -1, -1))

    @override
    def render(self, memory: ImageMemory, z: torch.Tensor) -> Rendered:
        """As `VIFAdapter.render`, on the configured grid.

        Raises:
            ValueError: If the grid is the end-point one and the image tokens are no square.
        """
        mixture = self.renderer(z)
        centres = self._grid(memory.centres).repeat_interleave(len(z) // len(memory.centres), 0)
        tokens = render(mixture, centres, self.config.renderer)
        gate = z.new_ones(len(z), self.config.num_layers, self.config.num_heads)
        pointing = components(mixture, centres)
        means, sigmas, weights = mixture
        return Rendered(z, pointing, means, sigmas, weights, tokens, gate)

    @override
    def place(self, mixture: MixtureParameters, centres: torch.Tensor) -> MixtureParameters:
        """From the end-point grid to the image: 0 and 1 become the outer tokens' centres."""
        if self.config.grid == "centres":
            return mixture
        first, size = centres[:, :1], centres[:, -1:] - centres[:, :1]
        means, sigmas = first + mixture.means * size, mixture.sigmas * size.mean(-1)
        return MixtureParameters(means, sigmas, mixture.weights)

    def _grid(self, centres: torch.Tensor) -> torch.Tensor:
        if self.config.grid == "centres":
            return centres
        number = centres.shape[1]
        side = round(number**0.5)
        if side * side != number:
            raise ValueError(
                f"{number} image tokens do not form a square, which the published grid needs: "
                "set grid to 'centres' in the adapter's config.json."
            )
        return endpoint_grid(side).to(centres).expand(len(centres), -1, -1)


def _gaussian(mean: torch.Tensor, log_variance: torch.Tensor) -> Gaussian:
    return Gaussian(mean, log_variance.clamp(*LOG_VARIANCE_RANGE))


def _read(
    attention: nn.MultiheadAttention,
    x: torch.Tensor,
    memory: torch.Tensor,
    padding: torch.Tensor | None = None,
) -> torch.Tensor:
    return attention(x, memory, memory, key_padding_mask=padding, need_weights=False)[0]


def _gather(text: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The marked tokens of every row and which of them are only padding."""
    longest = int(mask.sum(1).max())
    # A stable sort puts marked tokens first, in order.
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
    chosen = text.gather(1, order[..., None].expand(-1, -1, text.shape[-1]))
    return chosen, ~mask.gather(1, order)
