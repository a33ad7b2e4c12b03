"""PAINT: raises attention on what the vision tower finds salient, for every question."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from typing_extensions import override

from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import EditingTap, published_layers
from vif.methods.maps.tower import cls_attention, no_cls, token_scores
from vif.model.backbone import Backbone
from vif.model.edits import Edit, Rows


def _early_and_late(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    """CLS attention in the first and in the last but one layer, heads summed, (T, P, 2)."""
    return cls_attention(tower, pixels, (0, max(0, len(tower.encoder.layers) - 2)))


def salient_tokens(scores: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Local and summary tokens among patches.

    Args:
        scores: CLS attention in the first and in the last but one layer, (P, 2).
        share: Of patches that are local.

    Returns:
        Local, the top share of the first layer less the summary tokens, and summary, those above
        Q3 + 1.5 IQR of the last but one, both (P,) bool.
    """
    early, late = scores.float().unbind(-1)
    low, high = torch.quantile(late, torch.tensor([0.25, 0.75], device=late.device))
    summary = late > high + 1.5 * (high - low)
    local = torch.zeros_like(summary)
    local[early.topk(round(share * len(early))).indices] = True
    return local & ~summary, summary


class PAINTEdit(Edit):
    """Raises logits by shares of their size; `boost` is (B, N)."""

    last_only = True

    def __init__(self, request: Request, boost: torch.Tensor) -> None:
        super().__init__(request.batch.first_row)
        self.columns, self.boost = request.batch.columns, boost

    @override
    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Raises e to e + boost |e|."""
        return logits + rows.spread(self.boost, self.columns) * logits.abs()


@register
class PAINT(Method):
    """PAINT (arXiv 2501.12206): the last row looks more at what the vision tower finds salient.

    From the vision tower: summary tokens, the upper outliers of CLS attention in the last but one
    layer, and local tokens, the top quarter of CLS attention in the first layer less those.
    e_j += alpha |e_j| on local and beta |e_j| on summary tokens; last row of the prompt and
    generated rows, all heads, layers 2 to 31 of 32.

    Its first version claims heads chosen by measured sensitivity; the code treats all alike, as
    here. The map is the same for every question, and ``|e|`` depends on the scale of a model's
    logits. Image tokens that are no patch (row breaks) are never chosen; over several tiles the top
    quarter and the outliers are taken of all patches together. The optional guidance is PAI's.
    """

    name = "paint"
    label = "PAINT"
    group = Group.ATTENTION
    summary = "Attends more to what the vision tower finds salient; needs a CLIP tower."
    options = (
        Option(
            "alpha",
            0.7,
            0,
            2,
            0.05,
            "Share of its size that a local token's logit gains; published.",
        ),
        Option("beta", 0.3, 0, 2, 0.05, "The same for summary tokens; published."),
        Option("local", 0.25, 0, 1, 0.05, "Share of patches that are local; published."),
    )
    identity: ClassVar = {"alpha": 0, "beta": 0}

    @override
    def obstacle(self, backbone: Backbone, adapter: VIFAdapter | None) -> str:
        """Needs a vision tower with a CLS token."""
        return no_cls("Method 'paint'", backbone)

    @override
    def tap(self, request: Request) -> EditingTap:
        """Raises local and summary tokens; raises `InputError` without a CLS token."""
        if obstacle := self.obstacle(request.backbone, request.adapter):
            raise InputError(obstacle)
        options = request.options
        boost = torch.zeros(request.batch.columns.shape, device=request.batch.columns.device)
        for i, prompt in enumerate(request.batch.prompts):
            scores, is_patch = token_scores(request.backbone, prompt, _early_and_late)
            scores, is_patch = scores.to(boost.device), is_patch.to(boost.device)
            local, summary = salient_tokens(scores[is_patch], options["local"])
            boost[i, is_patch] = options["alpha"] * local.float() + options["beta"] * summary
        layers = published_layers(2, 31, request.backbone)
        return EditingTap(request, dict.fromkeys(layers, PAINTEdit(request, boost)))
