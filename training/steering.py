"""What a training pass reads from the layers and mixes into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask
from typing_extensions import override

from vif.attention import Tap, attention
from vif.rows import Mix

FULL_PRECISION = "vif_full_precision"


def full_precision_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """`vif.attention.attention` outside of autocast, for training on a CPU.

    There the fused kernel takes half as long in float32, forward and backward, as in bfloat16.
    """
    with torch.autocast(query.device.type, enabled=False):
        parts = (part.float() for part in (query, key, value))
        return attention(module, *parts, attention_mask, **kwargs)


AttentionInterface.register(FULL_PRECISION, full_precision_attention)
AttentionMaskInterface.register(FULL_PRECISION, sdpa_mask)


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
