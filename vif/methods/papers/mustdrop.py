"""MustDrop: drops image tokens while reading and decoding, except a key set."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.pruning import Prune
from vif.methods.edits.tap import EditingTap, published_layers
from vif.methods.maps.tower import cls_attention, has_cls, token_scores, tower_of
from vif.model.edits import Edit, Rows

STAGES = (2, 6, 10, 14)  # of 32


class Filter(Prune):
    """Hides what has been dropped so far, and drops more by the layer's own attention.

    A token goes if the text's rows give it, heads averaged, together less than `total` of what they
    give the image, and none of them more than `single`. `values` is 1 for what has gone, (B, N).
    """

    def __init__(self, request: Request, key_set: torch.Tensor) -> None:
        super().__init__(request, torch.zeros(request.batch.columns.shape))
        self.text_row, self.key_set = request.batch.first_row, key_set
        self.total, self.single = (request.options[name] for name in ("total", "single"))
        self.stages = {published_layers(n, n, request.backbone)[0] for n in STAGES}

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Drops at the stages of the prompt's pass, for the layers that follow."""
        if rows.layer in self.stages and int(rows.positions[0]) <= int(self.text_row.max()):
            is_text = rows.positions >= self.text_row.to(weights.device)[:, None]
            seen = rows.at(weights, self.columns).mean(1) * is_text[..., None]
            sums, most = seen.sum(1), seen.amax(1)
            gone = (sums < self.total * sums.sum(1, keepdim=True)) & (most < self.single)
            gone = gone.to(self.values.device) & ~self.key_set.to(self.values.device)
            self.values = torch.maximum(self.values, gone.float())
        return weights


class MustDropTap(EditingTap):
    """Filters in the layers from the first stage on."""

    @override
    def edit(self, layer: int) -> Edit | None:
        found = super().edit(layer)
        if isinstance(found, Filter):
            for note, gone in zip(self.notes, found.values, strict=True):
                note["dropped"] = int(gone.sum())
        return found


@register
class MustDrop(Method):
    """MustDrop, arXiv 2411.10803, read from its code.

    Prefilling: in layers 2, 6, 10 and 14 of 32 a token is dropped that all text together looks at
    little and that no text token looks at much. Decoding: what was dropped by the last stage is
    seen by no generated token in any layer from 2 on. A key set, the top 8 % of CLS attention in
    the tower's last layer, is never dropped. Thresholds are those of its scripts for 128 tokens of
    LLaVA-1.5; they count shares, so that a model with fewer image tokens needs higher ones.

    Left out: the merging of like neighbours after the tower's first layer, which changes how many
    tokens there are. Ours: the row breaks of tiled models may be dropped as any token; a tower
    without CLS has no key set.
    """

    name = "mustdrop"
    label = "MustDrop"
    group = Group.ATTENTION
    summary = "Drops image tokens with little attention from text, in four early layers."
    options = (
        Option(
            "total",
            0.0012,
            0,
            0.1,
            0.0001,
            "Smallest share of the attention of all text; published.",
        ),
        Option("single", 0.001, 0, 0.1, 0.0001, "Smallest attention of one text token; published."),
        Option("keys", 0.08, 0, 1, 0.01, "Share of patches in the key set; published."),
    )
    identity: ClassVar = {"total": 0}

    @override
    def tap(self, request: Request) -> MustDropTap:
        """Drops tokens in four early layers; works on any model."""
        edit = Filter(request, _key_set(request))
        layers = [n for n in request.backbone.attention_layers if n >= min(edit.stages)]
        return MustDropTap(request, dict.fromkeys(layers, edit))


def _key_set(request: Request) -> torch.Tensor:
    """Which image tokens are never dropped, (B, N) bool."""
    keys = torch.zeros(request.batch.columns.shape, dtype=torch.bool)
    tower = tower_of(request.backbone)
    if not has_cls(tower):
        return keys
    for i, prompt in enumerate(request.batch.prompts):
        scores, is_patch = token_scores(request.backbone, prompt, _last)
        number = math.ceil(request.options["keys"] * int(is_patch.sum()))
        keys[i, scores[:, 0].topk(number).indices.cpu()] = True
    return keys


def _last(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    return cls_attention(tower, pixels, (len(tower.encoder.layers) - 1,))
