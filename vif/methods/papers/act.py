"""ACT: attention on image tokens that are sinks is moved to the other image tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.sinks import column_sinks, redistribute
from vif.methods.edits.tap import EditingTap, published_layers
from vif.model.edits import Edit, Rows


class ACTEdit(Edit):
    """The edit of ACT in one layer: attention on sinks is calibrated.

    The sinks, (B, H, N) bool, are found in the rows of the prompt and kept for the answer.
    """

    def __init__(self, request: Request, heads: Sequence[int] | None = None) -> None:
        super().__init__(request.batch.first_row)
        self.columns, self.options = request.batch.columns, request.options
        self.chosen = torch.zeros(request.num_heads, 1, 1)
        self.chosen[slice(None) if heads is None else list(heads)] = 1
        self.sinks: torch.Tensor | None = None

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Moves attention from sinks to the other image tokens; rows keep their sums."""
        image = rows.columns(self.columns)
        if self.sinks is None:
            seen = rows.visible & rows.edited[:, None, :, None]
            found = column_sinks(weights, seen, image[:, :, 0], self.options["factor"])
            self.sinks = rows.at(found[:, :, None], self.columns)[:, :, 0]
        sinks = rows.spread(self.sinks, self.columns)
        chosen = self.chosen.to(weights.device)
        return redistribute(
            weights, sinks * chosen, image * (1 - sinks) * chosen, self.options["beta"]
        )


class ACTTap(EditingTap):
    """Edits all heads, or those that an offline search has found.

    Args:
        request: The request.
        heads: Heads per layer; a layer that is not in it is left alone. All by default.
    """

    def __init__(self, request: Request, heads: Mapping[int, Sequence[int]] | None = None) -> None:
        if heads is None:
            layers = published_layers(2, 30, request.backbone)
            edits = {layer: ACTEdit(request) for layer in layers}
        else:
            edits = {layer: ACTEdit(request, chosen) for layer, chosen in heads.items()}
        super().__init__(request, edits)


@register
class ACT(Method):
    """Attention calibration technique, arXiv 2406.15765 (ICML 2024), restricted to the image.

    Sinks of a head: image tokens j with mean_i a_ij > factor / (number of tokens), over the rows
    after the image. a_ij <- beta a_ij there; the freed sum goes to the other image tokens in
    proportion to a_ij.

    The method was made for language models, where sinks are sought, and their sum is spread, over
    the whole sequence. Here both happen within the image, so the share of the image is unchanged.
    The threshold is the paper's, factor / tokens; the code has a fixed 0.1. The published heads
    come from some 930 calibration runs per model: without such a list (see `ACTTap`) all heads are
    edited. With a single row the test would be a_j > threshold, so generated rows keep the prompt's
    sinks.
    """

    name = "act"
    label = "ACT"
    group = Group.ATTENTION
    summary = (
        "Reduces attention to image tokens that draw it from every row; stays within the image."
    )
    options = (
        Option("beta", 0.4, 0, 1, 0.05, "Share of its attention that a sink keeps; published."),
        Option(
            "factor", 5, 1, 50, 0.5,
            "A sink draws this many times its uniform share; published.",
        ),
    )  # fmt: skip
    identity: ClassVar = {"beta": 1}

    @override
    def tap(self, request: Request) -> ACTTap:
        """Calibrates the published layers and heads of any model."""
        return ACTTap(request)
