"""What a training pass reads from the layers and mixes into them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from typing_extensions import override

from vif.attention import Tap
from vif.rows import Mix


class Enough(Exception):
    """The states that were wanted are there; the layers above need not run."""


class Reader(Tap):
    """Keeps the output of some layers.

    Attributes:
        states: By layer, (B, Q, d).
    """

    def __init__(self, layers: list[int], stop: bool) -> None:
        """With `stop`, the pass ends in `Enough` behind the last of the layers."""
        self.layers, self.stop = layers, stop
        self.states: dict[int, torch.Tensor] = {}

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """Keeps it."""
        if layer in self.layers:
            self.states[layer] = states
        if self.stop and layer == max(self.layers):
            raise Enough


class Mixer(Tap):
    """Mixes in what was prepared, by layer."""

    def __init__(self, mixes: Callable[[int], Mix | None]) -> None:
        self.mixes = mixes

    @override
    def mix(self, layer: int) -> Mix | None:
        """What was prepared for this layer."""
        return self.mixes(layer)
