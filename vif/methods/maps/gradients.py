"""Maps from gradients: which image tokens the answer's first token depends on."""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from vif.methods.base import Request
from vif.methods.maps.base import normalised, register_map, visible_tokens
from vif.model.attention import Tap
from vif.model.edits import Edit, Rows
from vif.model.generation import Cancelled, open_stream


class _Watch(Edit):
    """Keeps the attention of the last row for its gradient; changes nothing."""

    last_only = True

    def __init__(self, first_row: torch.Tensor, found: dict[int, torch.Tensor]) -> None:
        super().__init__(first_row)
        self.found = found

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        if not weights.requires_grad:
            weights.requires_grad_()
        self.found[rows.layer] = weights
        return weights


class _Gradients(Tap):
    """Keeps the attention of every layer's last row, and the first layer's output."""

    def __init__(self, request: Request) -> None:
        self.watch_row = request.batch.first_row
        self.attention: dict[int, torch.Tensor] = {}
        # Filled in by the pass.
        self.states: torch.Tensor = torch.empty(0)

    @override
    def edit(self, layer: int) -> Edit:
        return _Watch(self.watch_row, self.attention)

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        if layer == 0:
            if not states.requires_grad:
                states.requires_grad_()
            self.states = states


def _read(request: Request) -> tuple[_Gradients, torch.Tensor]:
    """One pass with gradients, and log p of the likeliest first token, summed over prompts."""
    if request.cancel is not None and request.cancel.is_set():
        raise Cancelled
    tap = _Gradients(request)
    stream = open_stream(request.backbone.model, dict(request.batch.inputs))
    with torch.enable_grad():
        scores = stream.advance(tap, gradients=True).log_softmax(-1)
        return tap, scores.amax(-1).sum()


def _columns(request: Request, weights: torch.Tensor) -> torch.Tensor:
    """The image's columns of (B, H, 1, K), (B, H, N)."""
    index = request.batch.columns.to(weights.device)[:, None]
    return weights[:, :, 0].gather(2, index.expand(-1, weights.shape[1], -1))


@register_map(
    "relevancy",
    "Attention times its gradient, over all layers (one forward and one backward pass).",
    1,
)
def relevancy(request: Request) -> torch.Tensor:
    """sum_l mean_h A * ReLU(d log p / dA), last row, p of the likeliest first token.

    The gradient-weighted attention of ViCrop (arXiv 2502.17422, one layer there) and of Chefer et
    al. (arXiv 2103.15679), whose rollout through the layers is not followed: it needs whole
    attention matrices. Only layers whose attention can be edited count, and only that row's. The
    graph of a whole pass is held: memory as in training with a batch of one.
    """
    tap, score = _read(request)
    layers = sorted(tap.attention)
    gradients = torch.autograd.grad(score, [tap.attention[layer] for layer in layers])
    total = torch.zeros(())
    for layer, gradient in zip(layers, gradients, strict=True):
        raised = tap.attention[layer].detach() * gradient.clamp_min(0)
        total = total + _columns(request, raised).float().mean(1).cpu()
    return _map(request, total)


@register_map(
    "saliency",
    "How the answer depends on the state of every image token (one forward and one backward pass).",
    1,
)
def saliency(request: Request) -> torch.Tensor:
    """|x_j . d log p / dx_j|, gradient times input, p of the likeliest first token.

    x_j is what the first decoder layer puts out for image token j: what enters the decoder is not
    reported by all families. Holds the graph of a whole pass, as `relevancy` does.
    """
    tap, score = _read(request)
    (gradient,) = torch.autograd.grad(score, [tap.states])
    index = request.batch.columns.to(gradient.device)[..., None]
    index = index.expand(-1, -1, gradient.shape[-1])
    product = tap.states.detach().gather(1, index).float() * gradient.gather(1, index).float()
    return _map(request, product.sum(-1).abs().cpu())


def _map(request: Request, weights: torch.Tensor) -> torch.Tensor:
    visible = visible_tokens(request)
    found = np.nan_to_num(weights.double().numpy()) * visible
    return normalised(request, found)
