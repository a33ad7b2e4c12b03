"""INTER: adds to the logits what image and question say only together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.guidance import CUTOFF, GuidedTap, plausible
from vif.methods.prompts import without_image, without_question
from vif.model.batch import Batch


class INTERTap(GuidedTap):
    """Guided by branches without the question, without the image, and without both."""

    def __init__(self, request: Request, branches: Sequence[dict[str, Any]]) -> None:
        super().__init__(request, branches)
        for note in self.notes:
            note |= {"variance": [], "guided": []}

    @override
    def combine(self, logits: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:
        options = self.request.options
        image, text, neither = (other.log_softmax(-1) for other in others)
        interaction = logits.log_softmax(-1) - image - text + neither
        candidates = plausible(logits, options["cutoff"])
        surplus, variance = centred(interaction, candidates)
        is_keyword = variance > options["threshold"]
        for i, note in enumerate(self.notes):
            note["variance"].append(round(float(variance[i]), 4))
            note["guided"].append(bool(is_keyword[i]))
        return logits + options["weight"] * surplus * is_keyword[:, None]


def centred(values: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (B, V) less their mean over a mask, 0 outside it, and their variance, (B,)."""
    number = mask.sum(-1, keepdim=True)
    inside = torch.where(mask, values, 0)
    gaps = torch.where(mask, values - inside.sum(-1, keepdim=True) / number, 0)
    return gaps, gaps.square().sum(-1) / number.squeeze(-1)


@register
class INTER(Method):
    """Interaction guidance, arXiv 2507.05056 (ICCV 2025), from its abstract and notes: no code.

    The Harsanyi dividend of image and question, I = v(VT) - v(V) - v(T) + v(none), says for every
    candidate token what both give together and neither gives alone. Where it varies much over
    candidates the token is a keyword, and I is added to the logits.

    Left open and chosen here: v is the log-probability of the token after the answer so far;
    candidates have at least a tenth of the best one's probability; a variance above 1 (nats
    squared) marks a keyword; I is centred over candidates, so that being one is no advantage, and
    added at weight 1. The context stays in all four prompts.
    """

    name = "inter"
    label = "INTER"
    group = Group.DECODING
    summary = "At keywords, strengthens what needs both image and question (three branches)."
    branches = 3
    options = (
        Option("weight", 1, 0, 5, 0.1, "Strength; chosen, because the published value is unknown."),
        Option(
            "threshold", 1, 0, 20, 0.1, "Smallest variance of a keyword; chosen, not published."
        ),
        CUTOFF,
    )
    identity: ClassVar = {"weight": 0}

    @override
    def tap(self, request: Request) -> INTERTap:
        """Opens the branches: image alone, question alone, neither."""
        backbone, prompts = request.backbone, request.batch.prompts
        unasked = [without_question(prompt) for prompt in prompts]
        neither = backbone.collate([without_image(prompt) for prompt in unasked])
        image = Batch.make(backbone, unasked, like=request.batch).inputs
        return INTERTap(request, [image, request.without_image(), neither])
