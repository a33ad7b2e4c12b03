"""Cutting edges of attention: chosen rows no longer see chosen keys, in chosen layers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad
from typing_extensions import override

from vif.errors import InputError
from vif.model.attention import Tap
from vif.model.backbone import Backbone
from vif.model.edits import Edit, Rows
from vif.probes.prefix import SharedPrompt

_NEVER = torch.iinfo(torch.long).max


@dataclass(frozen=True)
class EdgeCut:
    """Edges that one variant of a prompt lacks.

    Attributes:
        layers: In which layers.
        queries: Rows that lose sight, (S,) bool; rows of the answer do as the last of the prompt.
        keys: What they no longer see, (S,) bool. A row always keeps itself.
    """

    layers: Collection[int]
    queries: torch.Tensor
    keys: torch.Tensor


def whole_image(reading: SharedPrompt) -> torch.Tensor:
    """Everything from the image's first token to its last, (S,) bool.

    Between them some models have row breaks, tile marks or words. They have read what stands
    before them, so who hides the image hides them as well.
    """
    columns = reading.batch.columns[0].cpu()
    positions = torch.arange(reading.length)
    return (positions >= columns.min()) & (positions <= columns.max())


def check_hideable(backbone: Backbone) -> None:
    """Raises `InputError` unless cutting attention takes the image from the text altogether."""
    if backbone.layers_to_steer is not None:
        raise InputError(
            f"{backbone.name} cannot be asked with its image hidden: its layers without "
            "attention also pass the image on to the text, so cutting attention does not "
            "remove it. Choose a model whose layers all have attention, or cut single flows "
            "with the knockout."
        )


class CutTap(Tap):
    """One pass over variants, one cut each; a variant without edges is unchanged."""

    def __init__(self, cuts: Sequence[EdgeCut], device: torch.device) -> None:
        self.cuts = cuts
        self.queries = torch.stack([cut.queries for cut in cuts]).to(device)
        self.keys = torch.stack([cut.keys for cut in cuts]).to(device)
        self.matter = (self.queries.any(1) & self.keys.any(1)).tolist()
        self.first = self.queries.int().argmax(1)

    @override
    def edit(self, layer: int) -> Edit | None:
        """The cuts that reach this layer."""
        active = [
            matters and layer in cut.layers
            for matters, cut in zip(self.matter, self.cuts, strict=True)
        ]
        if not any(active):
            return None
        # Rows from `_NEVER` on are none: what is not cut stays bit-equal.
        here = torch.tensor(active, device=self.first.device)
        return _CutEdit(torch.where(here, self.first, _NEVER), self.queries, self.keys)


class _CutEdit(Edit):
    def __init__(self, first_row: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor) -> None:
        super().__init__(first_row)
        self.queries, self.keys = queries, keys

    @override
    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        length, stop = self.keys.shape[1], rows.first_key + logits.shape[-1]
        device = logits.device
        queries = self.queries.to(device)[:, rows.positions.clamp_max(length - 1)]
        keys = pad(self.keys.to(device), (0, max(0, stop - length)))[:, rows.first_key : stop]
        own = rows.positions[:, None] == torch.arange(rows.first_key, stop, device=device)
        cut = queries[:, :, None] & keys[:, None] & ~own
        return logits.masked_fill(cut[:, None], float("-inf"))
