"""VFlowOpt: prunes by the importance map that changes the last token's state least."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any, ClassVar

import torch
from typing_extensions import override

from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.base import least_tokens_of
from vif.methods.edits.pruning import Prune
from vif.methods.edits.tap import EditingTap
from vif.methods.maps.base import normalised, visible_tokens
from vif.methods.maps.tower import Layer, first_states, has_cls, no_tower, token_scores
from vif.model.backbone import Backbone
from vif.model.generation import Cancelled, open_stream

# What is tried: how far above the mean a global token is looked at, and the weight of entropy.
THRESHOLDS, WEIGHTS = (1.0, 3.0, 7.0), (0.0, 0.5, 1.0)


@torch.no_grad()
def importance(tower: Any, pixels: torch.Tensor, threshold: float, weight: float) -> torch.Tensor:
    """Importance of every patch, (T, P, 1).

    The attention of global tokens, those that are looked at more than `threshold` times the mean,
    in the last layer, heads averaged; plus `weight` times the softmax of the entropy of a patch's
    grey values in bits.

    Args:
        tower: A tower of layers.
        pixels: (T, 3, H, W).
        threshold: > 0; where nothing is above it, all tokens are global (ours).
        weight: Of entropy.
    """
    states = first_states(tower, pixels)
    for block in tower.encoder.layers[:-1]:
        states = block(states, attention_mask=None)
    weights = Layer(tower.encoder.layers[-1], states).attention().mean(-1)
    received = weights.mean(1)
    is_global = received > threshold * received.mean(-1, keepdim=True)
    is_global |= ~is_global.any(-1, keepdim=True)
    shares = (weights * is_global[..., None]).sum(1) / is_global.sum(-1, keepdim=True)
    shares = shares[:, 1:] if has_cls(tower) else shares
    side = tower.config.patch_size
    return (shares + weight * patch_entropy(pixels, side).softmax(-1))[..., None]


def patch_entropy(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Entropy of the grey values of every patch in bits, (T, P).

    Grey values are spread over 256 steps between an image's least and largest (ours: the code takes
    normalised pixels for values in [0, 1]).

    Args:
        pixels: (T, 3, H, W).
        side: Of a patch.
    """
    grey = pixels.float().mean(1)
    low, high = grey.amin((1, 2), keepdim=True), grey.amax((1, 2), keepdim=True)
    steps = ((grey - low) / (high - low).clamp_min(1e-6) * 255).round().long()
    patches = steps.unfold(1, side, side).unfold(2, side, side).flatten(1, 2).flatten(2)
    counts = torch.zeros(*patches.shape[:2], 256, device=pixels.device)
    counts.scatter_add_(2, patches, torch.ones_like(patches, dtype=counts.dtype))
    shares = counts / patches.shape[-1]
    return -(shares * shares.clamp_min(1e-12).log2()).sum(-1)


class _Last(EditingTap):
    """Edits, and keeps the last row's state in the deepest layer that reports."""

    state: torch.Tensor

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        self.state = states[:, -1].float()


@register
class VFlowOpt(Method):
    """VFlowOpt, arXiv 2508.05211 (ICCV 2025), read from its code, as far as a question allows.

    Importance of a patch: the attention of the vision tower's global tokens plus weighted patch
    entropy. The setting is kept whose pruned pass leaves the last token's state most alike, by
    cosine, to that of the whole pass.

    Ours: published settings are searched once by Bayesian optimisation over a data set, with ratios
    of three stages; here a grid of nine is tried for every question, with one ratio from the first
    layer on, so that it costs ten passes. The state is the deepest before the last layer. Dropped
    tokens are not gathered into recycled ones, which would change how many there are.
    """

    name = "vflowopt"
    label = "VFlowOpt"
    group = Group.ATTENTION
    summary = (
        "Prunes by importance, with the one of nine settings that changes the last token's "
        "state least."
    )
    extra_passes = 1 + len(THRESHOLDS) * len(WEIGHTS)
    options = (
        Option("ratio", 0.5, 0, 0.95, 0.05, "Share of image tokens to drop; published up to 0.9."),
    )
    identity: ClassVar = {"ratio": 0}

    @override
    def obstacle(self, backbone: Backbone, adapter: VIFAdapter | None) -> str:
        """Needs a vision tower of layers."""
        return no_tower("Method 'vflowopt'", backbone)

    @override
    def tap(self, request: Request) -> EditingTap:
        """Tries all settings; raises `InputError` without a vision tower of layers."""
        if obstacle := self.obstacle(request.backbone, request.adapter):
            raise InputError(obstacle)
        whole = _state(request, _Last(request, {}))
        best = torch.zeros(request.batch.columns.shape, device=request.batch.columns.device)
        likeness = torch.full((len(request.batch),), -torch.inf, device=whole.device)
        chosen = [(0.0, 0.0)] * len(request.batch)
        for setting in product(THRESHOLDS, WEIGHTS):
            gone = _dropped(request, *setting)
            found = _state(request, _Last(request, _edits(request, gone)))
            alike = torch.nn.functional.cosine_similarity(found, whole)
            better = alike > likeness
            likeness = torch.where(better, alike, likeness)
            mine = better.to(gone.device)[:, None]
            best = torch.where(mine, gone, best)
            chosen = [setting if b else old for b, old in zip(better.tolist(), chosen, strict=True)]
        tap = EditingTap(request, _edits(request, best))
        pairs = zip(tap.notes, chosen, likeness.tolist(), best.sum(1).tolist(), strict=True)
        for note, (threshold, weight), alike, count in pairs:
            note |= {"threshold": threshold, "entropy": weight, "dropped": int(count)}
            note["likeness"] = round(alike, 6)
        return tap


def _state(request: Request, tap: _Last) -> torch.Tensor:
    """The last row's state in one pass over the prompts, (B, d)."""
    if request.cancel is not None and request.cancel.is_set():
        raise Cancelled
    open_stream(request.backbone.model, dict(request.batch.inputs)).advance(tap)
    return tap.state


def _edits(request: Request, gone: torch.Tensor) -> dict[int, Prune]:
    return dict.fromkeys(request.backbone.attention_layers, Prune(request, gone))


def _dropped(request: Request, threshold: float, weight: float) -> torch.Tensor:
    """1 for the image tokens of least importance, (B, N)."""
    read = partial(importance, threshold=threshold, weight=weight)
    found = [token_scores(request.backbone, p, read)[0][:, 0] for p in request.batch.prompts]
    weights = torch.stack(found).double().cpu().numpy() * visible_tokens(request)
    gone = least_tokens_of(request, normalised(request, weights))
    return torch.from_numpy(gone).float().to(request.batch.columns.device)
