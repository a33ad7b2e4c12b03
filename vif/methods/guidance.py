"""Guided decoding: the next token is chosen by comparing an answer with branches beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from typing_extensions import override

from vif.methods.base import Option, Request
from vif.methods.edits.tap import EditingTap
from vif.model.edits import Edit
from vif.model.generation import open_stream

# Taken off the logits of tokens that are not plausible. Not infinity: where generation suppresses
# every plausible token, the others must keep their order.
IMPLAUSIBLE = 1e4


class GuidedTap(EditingTap):
    """Runs branches beside an answer, token by token, and combines their logits.

    With ``phase="prefill"`` only the first token is guided: generated rows are left alone.
    """

    def __init__(
        self,
        request: Request,
        branches: Sequence[dict[str, Any]],
        edits: Mapping[int, Edit] | None = None,
    ) -> None:
        """Opens the branches; each starts with the first token.

        Args:
            request: Of the method.
            branches: What every branch is asked, as ``generate`` takes it.
            edits: Edits of the answer's own attention.
        """
        super().__init__(request, edits or {})
        model = request.backbone.model
        self.streams = [open_stream(model, dict(inputs)) for inputs in branches]

    @override
    def guide(self, logits: torch.Tensor) -> torch.Tensor:
        """Combines the logits with those of the branches."""
        if self.position > 0 and self.request.settings.phase == "prefill":
            return logits
        return self.combine(logits, [stream.advance() for stream in self.streams])

    def combine(self, logits: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:  # noqa: ARG002
        """Logits to choose from, (B, V), given those of the branches, (B, V) each."""
        return logits

    @override
    def chose(self, tokens: torch.Tensor) -> None:
        """Every branch continues with the token of the answer."""
        super().chose(tokens)
        for stream in self.streams:
            stream.feed(tokens)


def plausible(logits: torch.Tensor, cutoff: float) -> torch.Tensor:
    """Tokens of at least `cutoff` times the probability of the most likely, (B, V) bool.

    The adaptive plausibility constraint of contrastive decoding (arXiv 2210.15097).
    """
    floor = math.log(cutoff) if cutoff > 0 else -math.inf
    return logits >= logits.amax(-1, keepdim=True) + floor


def mask_logits(guided: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Guided logits (B, V), lowered for tokens that are not kept (B, V) bool."""
    return torch.where(kept, guided, guided - IMPLAUSIBLE)


CUTOFF = Option(
    "cutoff", 0.1, 0, 1, 0.01, "Tokens below this share of the highest probability are excluded."
)
