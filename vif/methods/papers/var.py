"""VAR: moves attention from sinks to the rest of the image."""

from __future__ import annotations

from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.sinks import activation_sinks, redistribute
from vif.methods.edits.tap import EditingTap, first_tokens, published_layers
from vif.model.edits import Edit, Rows

NO_SINKS = "No token has massive activations: this model has no sinks and is unchanged."


class VAREdit(Edit):
    """One layer of VAR; `sinks` is (B, S) bool, filled in once the layer's input is known."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.batch.first_row)
        self.columns, self.options = request.batch.columns, request.options
        self.sinks = torch.zeros(0, 0, dtype=torch.bool)

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Redistributes in the heads and rows that look at the image."""
        image = rows.columns(self.columns)
        positions = torch.arange(self.sinks.shape[1]).expand_as(self.sinks)
        sinks = rows.spread(self.sinks, positions)
        visual = (weights * image).sum(-1, keepdim=True)
        sharp = (weights * image * (1 - sinks)).sum(-1, keepdim=True)
        chosen = (visual >= self.options["visual"]) & (sharp >= self.options["rho"] * visual)
        moved = redistribute(weights, sinks, image * (1 - sinks), self.options["p"])
        return torch.where(chosen, moved, weights)


class VARTap(EditingTap):
    """Finds the sinks of every layer in its input, once, while the prompt is read.

    It notes how many there are in which layer, or that there are none.
    """

    def __init__(self, request: Request) -> None:
        # The paper spares the last layer; so do we. The released code means to, but does not.
        layers = published_layers(2, 31, request.backbone)[:-1]
        self.sinks = {layer: VAREdit(request) for layer in layers}
        super().__init__(request, self.sinks)
        self.first = first_tokens(request.batch)
        for notes in self.notes:
            notes |= {"sinks": {}, "note": NO_SINKS}

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """The output of a layer is the input of the next."""
        edit = self.sinks.get(layer + 1)
        if edit is not None and self.position == 0:
            first = self.first.to(states.device)
            edit.sinks, _ = activation_sinks(states, first, self.request.options["tau"])
            for notes, number in zip(self.notes, edit.sinks.sum(1).tolist(), strict=True):
                if number:
                    notes["sinks"][str(layer + 1)] = number
                    notes.pop("note", None)

    @override
    def edit(self, layer: int) -> Edit | None:
        """Changes nothing in a layer without sinks."""
        edit = super().edit(layer)
        return edit if edit is not None and bool(self.sinks[layer].sinks.any()) else None


@register
class VAR(Method):
    """Visual attention sinks, arXiv 2503.03321 (ICLR 2025).

    In heads and rows with sum_V a >= visual and (sum_(V without sinks) a) / (sum_V a) >= rho:
    a_j <- p a_j on all sinks, those of the text too; the freed sum goes to the image tokens that
    are no sinks, in proportion to a_j. Rows after the image, prompt and answer, the layers from the
    third to the last but one. Which tokens are sinks: `vif.methods.edits.sinks.activation_sinks`.

    Where code and paper differ: the code's rho is 1 minus the paper's, and its p what sinks keep
    where the paper's is what they give. Here rho is the paper's and p the code's. Moving what the
    first token draws is a large change: a head that gives it 0.7 gives 0.28 of the row to the
    image.
    """

    name = "var"
    label = "VAR"
    group = Group.ATTENTION
    summary = "Moves attention from sink tokens to the other image tokens."
    options = (
        Option("p", 0.6, 0, 1, 0.05, "Share of its attention that a sink keeps; published."),
        Option(
            "rho", 0.8, 0, 1, 0.05,
            "Least share of a head's visual attention on no sink; published for questions in "
            "general, 0.5 for hallucination, 0.9 for vision-centric ones.",
        ),
        Option("visual", 0.2, 0, 1, 0.05, "Least share of an edited row on the image; published."),
        Option("tau", 20, 1, 60, 1, "Massive from this many rms, at width 4096; published."),
    )  # fmt: skip
    identity: ClassVar = {"p": 1}

    @override
    def tap(self, request: Request) -> VARTap:
        """Works on any model; a model without sinks is unchanged."""
        return VARTap(request)
