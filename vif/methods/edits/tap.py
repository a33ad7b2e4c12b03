"""What methods that edit attention weights share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from typing_extensions import override

from vif.methods.base import Request
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.model.edits import Edit
from vif.recording import Recorder

PUBLISHED_DEPTH = 32  # layers of LLaVA-1.5-7B, for which most papers give their layer numbers


class EditingTap(Recorder):
    """Edits chosen layers, in the prompt and in what is generated."""

    def __init__(self, request: Request, edits: Mapping[int, Edit]) -> None:
        super().__init__(request.batch)
        self.request, self.edits = request, edits

    @override
    def edit(self, layer: int) -> Edit | None:
        """What was given for this layer."""
        if self.position > 0 and self.request.settings.phase == "prefill":
            return None
        return self.edits.get(layer)


def published_layers(first: int, last: int, backbone: Backbone) -> list[int]:
    """Layers `first` to `last` of 32, inclusive, as the same fractions of another depth.

    Published ranges that begin after the first layer leave it alone at any depth, too. Layers
    without attention are left out; where all would be, the nearest one with attention stands in.
    """
    num_layers = backbone.num_layers
    start = max(round(first * num_layers / PUBLISHED_DEPTH), min(first, 1))
    stop = round((last + 1) * num_layers / PUBLISHED_DEPTH)
    start = min(start, num_layers - 1)
    chosen = [n for n in range(start, max(stop, start + 1)) if n in backbone.attention_layers]
    return chosen or [nearest_layer(start, backbone)]


def nearest_layer(layer: int, backbone: Backbone) -> int:
    """The layer with attention that lies nearest to a layer, the deeper of two."""
    return min(reversed(backbone.attention_layers), key=lambda known: abs(known - layer))


def first_tokens(batch: Batch) -> torch.Tensor:
    """Position of the first token of every prompt after its padding, (B,)."""
    return batch.inputs["attention_mask"].long().argmax(1)
