"""TAME: sharpens all attention by factors from the traces of queries and keys."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import EditingTap, first_tokens
from vif.model.edits import Edit


class TAMEEdit(Edit):
    """A factor on queries: cheaper than editing rows, and the same."""

    def __init__(self, request: Request) -> None:
        super().__init__(None)
        self.first, self.gamma = first_tokens(request.batch), request.options["gamma"]

    @override
    def query(self, query: torch.Tensor, key: torch.Tensor, start: int) -> torch.Tensor:
        """Both factors at once; padding counts neither among queries nor among keys."""
        first_key = max(0, start + query.shape[2] - key.shape[2])
        factor = self._factor(query, start) * self._factor(key, first_key)
        return (query.float() * factor[:, None, None, None]).to(query.dtype)

    def _factor(self, vectors: torch.Tensor, start: int) -> torch.Tensor:
        """1 + gamma / ln mean_h tr(X X^T), (B,)."""
        positions = torch.arange(start, start + vectors.shape[2], device=vectors.device)
        counted = positions >= self.first.to(vectors.device)[:, None]
        energy = (vectors.float().square().sum(-1).mean(1) * counted).sum(1)
        # Under e the published factor explodes and then turns negative.
        return 1 + self.gamma / energy.clamp_min(math.e).log()


@register
class TAME(Method):
    """TAME (ICLR 2025), released as ANTRP.

    logits <- logits (1 + gamma / ln tr(Q Q^T)) (1 + gamma / ln tr(K K^T)), traces averaged over
    heads, after positions, in all layers, heads and rows, prompt and answer.

    The paper argues by the spectrum of W_Q W_K^T, the code uses these traces. They grow with the
    length: while the prompt is read tr(Q Q^T) sums over all of it, later over one token, so that
    generated rows are sharpened more. Nothing here looks at the image. A trace under e counts as e.
    """

    name = "tame"
    label = "TAME"
    group = Group.ATTENTION
    summary = "Sharpens all attention a little, on image and text alike."
    options = (Option("gamma", 0.8, 0, 2, 0.05, "Strength; published."),)
    identity: ClassVar = {"gamma": 0}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Edits every layer of any model."""
        edits = {layer: TAMEEdit(request) for layer in range(request.backbone.num_layers)}
        return EditingTap(request, edits)
