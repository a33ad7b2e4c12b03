"""FlowCut: the vision tower drops patches layer by layer, by their flow to its CLS token."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

import torch
from typing_extensions import override

from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.pruning import Prune
from vif.methods.edits.tap import EditingTap
from vif.methods.maps.tower import Layer, first_states, no_cls, token_scores
from vif.model.backbone import Backbone


def scores_of(layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
    """Score of every patch of one image in one layer, (P,), and CLS attention, (P,).

    (a / sum a + s / sum s) * ||v||_1: a the CLS row's attention and s the softmax of the CLS
    token's value with every value, both means of heads and without CLS, v the mean value of heads.
    """
    attention = layer.attention(slice(1))[0, 0, 1:].mean(-1)
    values = layer.values()[0]
    alike = torch.einsum("hd,shd->sh", values[0], values).softmax(0)[1:].mean(-1)
    size = values[1:].mean(1).abs().sum(-1)
    return (attention / attention.sum() + alike / alike.sum()) * size, attention


def number_to_drop(attention: torch.Tensor, left: int, target: int) -> int:
    """(P - target) / sqrt(layers left) * (1 - (H / ln P)^2), rounded; H of the CLS attention."""
    shares = attention / attention.sum()
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum() / math.log(max(len(shares), 2))
    return round((len(shares) - target) / left**0.5 * (1 - float(entropy) ** 2))


@torch.no_grad()
def survivors(tower: Any, pixels: torch.Tensor, share: float) -> torch.Tensor:
    """1 for patches that survive the tower, (T, P, 1); each of the T images keeps a share.

    Args:
        tower: A transformers ``CLIPVisionModel``.
        pixels: (T, 3, H, W).
        share: Of patches that are kept, in (0, 1].
    """
    return torch.stack([_survivors(tower, one[None], share) for one in pixels])


def _survivors(tower: Any, pixels: torch.Tensor, share: float) -> torch.Tensor:
    states = first_states(tower, pixels)
    number = states.shape[1] - 1
    target = max(1, round(share * number))
    kept, flow = torch.arange(number, device=states.device), None
    layers = tower.encoder.layers[: max(1, len(tower.encoder.layers) - 1)]
    for i, block in enumerate(layers):
        left = len(layers) - 1 - i
        if len(kept) <= target:
            break
        fresh, attention = scores_of(Layer(block, states))
        flow = fresh if flow is None else 0.5 * (flow + fresh)
        states = block(states, attention_mask=None)
        if left % 2 == 0:
            # The last layer drops all that is too many.
            drop = number_to_drop(attention, left, target) if left else len(kept)
            number_kept = max(len(kept) - drop, target)
            best = flow.topk(number_kept).indices.sort().values
            kept, flow = kept[best], flow[best]
            states = torch.cat([states[:, :1], states[:, 1:][:, best]], 1)
    alive = torch.zeros(number, 1, device=states.device)
    alive[kept] = 1
    return alive


@register
class FlowCut(Method):
    """FlowCut, arXiv 2505.19536 (NeurIPS 2025), read from its code.

    In every layer of a CLIP tower a patch scores by the CLS row's attention, the likeness of its
    value to that of CLS and the size of its value; scores are halved with those of earlier layers.
    Every second layer drops the patches with the least, the more, the more concentrated the CLS
    attention is; the last layer read drops down to the share to keep (published: 64, 128 or 192
    of 576).

    Ours: the tower's states of patches that are kept are those of a pass in which nothing was
    dropped, so that only what the decoder sees is pruned; of several tiles each keeps its share.
    Nobody from the first image token on sees a dropped token, from the first layer on.
    """

    name = "flowcut"
    label = "FlowCut"
    group = Group.ATTENTION
    summary = (
        "Keeps only patches that the CLS token of the vision tower attends to over its layers."
    )
    options = (
        Option("share", 0.22, 0.02, 1, 0.01, "Share of patches that is kept; published 128 / 576."),
    )
    identity: ClassVar = {"share": 1}

    @override
    def obstacle(self, backbone: Backbone, adapter: VIFAdapter | None) -> str:
        """Needs a vision tower with a CLS token."""
        return no_cls("Method 'flowcut'", backbone)

    @override
    def tap(self, request: Request) -> EditingTap:
        """Reads the tower once more, layer by layer; raises `InputError` without a CLS token."""
        if obstacle := self.obstacle(request.backbone, request.adapter):
            raise InputError(obstacle)
        read = partial(survivors, share=request.options["share"])
        found = [token_scores(request.backbone, p, read) for p in request.batch.prompts]
        gone = torch.stack([is_patch & (alive[:, 0] == 0) for alive, is_patch in found])
        edit = Prune(request, gone.float().to(request.batch.columns.device))
        tap = EditingTap(request, dict.fromkeys(request.backbone.attention_layers, edit))
        for note, count in zip(tap.notes, gone.sum(1).tolist(), strict=True):
            note["dropped"] = count
        return tap
