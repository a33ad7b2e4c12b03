"""Where the vision tower's own CLS token looks, whatever the question."""

from __future__ import annotations

from typing import Any

import torch

from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.methods.base import Request
from vif.methods.maps.base import normalised, register_map, visible_tokens
from vif.methods.maps.tower import cls_attention, no_cls, token_scores
from vif.model.backbone import Backbone


def no_cls_token(backbone: Backbone, adapter: VIFAdapter | None) -> str:  # noqa: ARG001
    """The map needs a CLS token."""
    return no_cls("The map 'cls'", backbone)


def _late(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    return cls_attention(tower, pixels, (max(0, len(tower.encoder.layers) - 2),))


@register_map("cls", "Where the vision tower's CLS token looks (FasterVLM).", obstacle=no_cls_token)
def cls(request: Request) -> torch.Tensor:
    """CLS attention of the last but one layer, mean of heads: the same for every question.

    FasterVLM (arXiv 2412.01818) keeps the tokens with the most of it: ``cls+prune`` with
    ``after=0``. "When Language Overrules" (arXiv 2508.10552) prunes so to lower the modality
    dominance index. The layer is the one whose states LLaVA-1.5 reads.
    """
    if obstacle := no_cls_token(request.backbone, request.adapter):
        raise InputError(obstacle)
    found = [token_scores(request.backbone, p, _late)[0][:, 0] for p in request.batch.prompts]
    weights = torch.stack(found).double().cpu().numpy()
    return normalised(request, weights * visible_tokens(request))
