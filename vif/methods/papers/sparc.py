"""SPARC: image tokens whose attention rises while answering count more from then on."""

from __future__ import annotations

from typing import ClassVar

import torch
from typing_extensions import override

from vif.errors import InputError
from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import EditingTap, nearest_layer
from vif.model.edits import Edit, Rows

NOTHING = "No image token was selected: SPARC is made for long answers."


class SPARCEdit(Edit):
    """All layers of SPARC, one of which it watches.

    Attributes:
        count: How often every image token was selected, (B, N); applies to all layers.
        fresh: Whether it was selected in the step under way, (B, N); counts from the next one on.
    """

    last_only = True

    def __init__(self, request: Request, watched: int) -> None:
        super().__init__(request.batch.first_row)
        self.columns, self.options, self.watched = request.batch.columns, request.options, watched
        self.count = torch.zeros(self.columns.shape, device=self.columns.device)
        self.fresh = torch.zeros_like(self.count)
        self.usual: torch.Tensor | None = None

    def step(self) -> None:
        """Starts a step, with the tokens selected in the last one."""
        self.count = self.count + self.fresh

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Scales a_j, which is what scaling the cached value v_j does."""
        if rows.layer == self.watched:
            self._watch(rows.at(weights, self.columns)[:, :, 0].mean(1).to(self.count.device))
        return weights * rows.spread(self.options["alpha"] ** self.count - 1, self.columns).add(1)

    def _watch(self, seen: torch.Tensor) -> None:
        """Compares attention (B, N) with its running average."""
        if self.usual is None:
            self.usual = seen
            return
        rise = (seen - self.usual) / self.usual.clamp_min(1e-12)
        self.fresh = (rise >= self.options["tau"]).float()
        beta = self.options["beta"]
        self.usual = (1 - beta) * seen + beta * self.usual


class SPARCTap(EditingTap):
    """Leaves the prompt unchanged; its last row in the watched layer starts the average.

    It notes how many image tokens were selected.
    """

    def __init__(self, request: Request) -> None:
        depth = request.backbone.num_layers
        watched = nearest_layer(int(request.options["depth"] * depth), request.backbone)
        self.whole = SPARCEdit(request, watched)
        super().__init__(request, dict.fromkeys(range(depth), self.whole))
        for notes in self.notes:
            notes["note"] = NOTHING

    @override
    def begin(self, start: int, length: int) -> None:
        """Updates the weights at the start of a generation step."""
        super().begin(start, length)
        self.whole.step()
        for notes, number in zip(self.notes, (self.whole.count > 0).sum(1).tolist(), strict=True):
            notes["selected"] = number
            if number:
                notes.pop("note", None)

    @override
    def edit(self, layer: int) -> Edit | None:
        """While the prompt is read, only the watched layer is active."""
        is_idle = self.position == 0 and layer != self.whole.watched
        return None if is_idle else super().edit(layer)


@register
class SPARC(Method):
    """Selective progressive attention recalibration, arXiv 2502.01419 (ICML 2025).

    At every generated token t, in one layer, heads averaged: r_j = (a_j - m_j) / m_j; image tokens
    with r_j >= tau are selected; m_j <- (1 - beta) a_j + beta m_j. From the next token on
    a_j <- alpha a_j in all layers, once more with every selection; rows are not renormalised: the
    code scales cached values, and so do we. m begins with the last row of the prompt.

    Defaults are the released code's for LLaVA-1.5-7B: alpha 1.1, tau 1.5, beta 0.1, layer 20 of 32;
    it takes tau 4 for LLaVA-NeXT. Despite its name beta is the weight of the old average. An answer
    of one or two words gives it nothing to do. Recorded rows are shares of their sum.
    """

    name = "sparc"
    label = "SPARC"
    group = Group.ATTENTION
    summary = (
        "While answering, image tokens whose attention rises suddenly count more; for captions."
    )
    options = (
        Option("alpha", 1.1, 1, 2, 0.01, "Factor on a selected token's value; published."),
        Option("tau", 1.5, 0, 10, 0.1, "Relative rise that selects; published, 4 for LLaVA-NeXT."),
        Option("beta", 0.1, 0, 1, 0.05, "Weight of the old average; published."),
        Option(
            "depth",
            0.625,
            0,
            1,
            0.005,
            "Watched layer as a share of the depth; published 20 of 32.",
        ),
    )
    identity: ClassVar = {"alpha": 1}

    @override
    def tap(self, request: Request) -> SPARCTap:
        """Works on any model, but only on what is generated."""
        if request.settings.phase == "prefill":
            raise InputError(
                "Method 'sparc' edits only generated rows, which phase 'prefill' does not "
                "steer: choose phase 'both'."
            )
        return SPARCTap(request)
