"""SAISA: no attention among image tokens, without SAISA's training."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.masks import masked, nothing_hidden
from vif.methods.edits.tap import EditingTap


@register
class SAISA(Method):
    """No attention among image tokens, arXiv 2502.02458 (NAAViT), without its training.

    The paper finds that attention between image tokens is redundant and trains models without it;
    on a model that was not, this shows how redundant it is. Its other half, sharing the projector
    with the decoder's layers, is a matter of training. All layers and heads.
    """

    name = "saisa"
    label = "SAISA"
    group = Group.ATTENTION
    summary = "Image tokens no longer see each other; without the paper's training."
    options = (
        Option(
            "share",
            1,
            0,
            1,
            0.05,
            "Share of the other image tokens that each no longer sees; chosen.",
        ),
    )
    identity: ClassVar = {"share": 0}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Edits every layer with attention; works on any model."""
        hidden = nothing_hidden(request)
        for i, rng in enumerate(request.generators(2)):
            hidden[i] = rng.random(hidden[i].shape) < request.options["share"]
        hidden &= ~np.eye(len(hidden[0]), dtype=bool)
        return masked(request, torch.from_numpy(hidden))
