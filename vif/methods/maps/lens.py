"""Maps read in one plain pass: the words of image tokens, and where the text looks early."""

from __future__ import annotations

import torch
from typing_extensions import override

from vif.methods.base import Option, Request
from vif.methods.edits.tap import PUBLISHED_DEPTH, published_layers
from vif.methods.maps.base import normalised, register_map, visible_tokens
from vif.methods.maps.reading import last_rows
from vif.model.attention import Tap
from vif.model.generation import open_stream
from vif.model.vocabulary import read_words


class _States(Tap):
    """Keeps the output of one layer."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        # Filled in by the pass.
        self.states: torch.Tensor = torch.empty(0)

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        if layer == self.layer:
            self.states = states


@register_map(
    "lens",
    "Image tokens that already stand for the answer's first word (logit lens).",
    1,
    options=(
        Option("layer", 24, 0, PUBLISHED_DEPTH - 2, 1, "Layer of 32, scaled; chosen, see lens."),
    ),
)
def lens(request: Request) -> torch.Tensor:
    """p_j(y), the logit lens of image token j at one layer, y the likeliest first answer token.

    Logit lens: final norm and output matrix on a hidden state. Image tokens of LLaVA-1.5 become
    words of what they show in deep layers (arXiv 2410.07149); 24 of 32 is our choice within them.
    """
    number = request.backbone.num_layers
    chosen = min(round(request.options["layer"] * number / PUBLISHED_DEPTH), number - 2)
    tap = _States(max(chosen, 0))
    stream = open_stream(request.backbone.model, dict(request.batch.inputs))
    first = stream.advance(tap).argmax(-1)
    index = request.batch.columns.to(tap.states.device)[..., None]
    states = tap.states.gather(1, index.expand(-1, -1, tap.states.shape[-1]))
    scores = read_words(request.backbone.model, states)
    wanted = first.to(scores.device)[:, None, None].expand(-1, scores.shape[1], 1)
    found = scores.gather(2, wanted)[..., 0].exp()
    weights = found.double().cpu().numpy() * visible_tokens(request)
    return normalised(request, weights)


@register_map(
    "text",
    "Where the last row of the question looks in one early layer (FastV).",
    1,
    options=(Option("layer", 2, 0, PUBLISHED_DEPTH - 1, 1, "Layer of 32, scaled; FastV: 2."),),
)
def text(request: Request) -> torch.Tensor:
    """FastV's score (arXiv 2403.06764): attention of the last prompt row, mean over heads."""
    layer = int(request.options["layer"])
    layers = published_layers(layer, layer, request.backbone)[:1]
    rows = last_rows(request, request.batch, layers).astype(float).mean((1, 2))
    return normalised(request, rows * visible_tokens(request))
