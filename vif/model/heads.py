"""Outputs of individual attention heads, before the output projection combines them."""

from __future__ import annotations

import torch
from typing_extensions import override

from vif.model.attention import Tap
from vif.model.edits import Edit


class HeadOutputs(Tap):
    """Keeps the output of every head for the last row of a prompt; changes nothing.

    Attributes:
        layers: One (B, H, D) float32 tensor per layer.
    """

    def __init__(self) -> None:
        self.layers: dict[int, torch.Tensor] = {}

    @override
    def edit(self, layer: int) -> Edit | None:
        """Does not edit; the pass is only observed."""
        return _Keep(self.layers) if self.position == 0 else None


class _Keep(Edit):
    def __init__(self, layers: dict[int, torch.Tensor]) -> None:
        super().__init__(None)
        self.layers = layers

    @override
    def output(self, out: torch.Tensor, layer: int) -> torch.Tensor:
        self.layers[layer] = out[:, -1].float()
        return out
