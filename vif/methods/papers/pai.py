"""PAI: raises the last row's logits on the image and subtracts a branch without the image."""

from __future__ import annotations

from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import published_layers
from vif.methods.guidance import CUTOFF, GuidedTap, mask_logits, plausible
from vif.model.edits import Edit, Rows

LAYERS = (2, 31)


class Amplify(Edit):
    """e_j + alpha |e_j| for image tokens j, in the last row of a pass."""

    last_only = True

    def __init__(self, request: Request, alpha: float) -> None:
        super().__init__(request.batch.first_row)
        self.columns, self.alpha = request.batch.columns, alpha

    @override
    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        return logits + self.alpha * logits.abs() * rows.columns(self.columns)


class PAITap(GuidedTap):
    """Guided by a branch without the image; without guidance there is no branch."""

    @override
    def combine(self, logits: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:
        if not others:
            return logits
        options = self.request.options
        with_image, without = logits.log_softmax(-1), others[0].log_softmax(-1)
        guided = options["gamma"] * (with_image - without) + without
        return mask_logits(guided, plausible(with_image, options["cutoff"]))


@register
class PAI(Method):
    """Paying more Attention to Image, arXiv 2407.21771 (ECCV 2024), read from its code.

    Image logits of the last row gain alpha times their size in layers 2 to 31 of 32; the next token
    follows gamma (log p_c - log p_u) + log p_u, u the prompt without its image. The README's runs
    use gamma 1.1, the code's default of 2 applies only where none is given. A gamma of 1 is no
    guidance, and then no branch is run. A boost of |e| raises sinks too.
    """

    name = "pai"
    label = "PAI"
    group = Group.ATTENTION
    summary = "The last row attends more to the image; a branch without the image is subtracted."
    branches = 1
    options = (
        Option("alpha", 0.2, 0, 2, 0.05, "Share of its size that an image logit gains; published."),
        Option("gamma", 1.1, 1, 3, 0.1, "Guidance; 1 is none. README 1.1, code's fallback 2."),
        CUTOFF,
    )
    identity: ClassVar = {"alpha": 0, "gamma": 1}

    @override
    def tap(self, request: Request) -> PAITap:
        """Edits attention, opens the branch."""
        layers = published_layers(*LAYERS, request.backbone)
        edits = dict.fromkeys(layers, Amplify(request, request.options["alpha"]))
        guided = request.options["gamma"] != 1
        return PAITap(request, [request.without_image()] if guided else [], edits)
