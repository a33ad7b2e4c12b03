"""What a training pass reads from the layers and mixes into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask
from typing_extensions import override

from training.adapter.passes.infer import Inferred
from training.adapter.plan import Plan
from training.data.encoding import ANSWER
from training.data.shard import Shard
from vif.model.attention import PassEnded, Tap, attention
from vif.model.rows import Mix

FULL_PRECISION = "vif_full_precision"


class Reader(Tap):
    """Keeps the output of some layers.

    Attributes:
        states: By layer, (B, Q, d).
    """

    def __init__(self, layers: list[int], stop: bool) -> None:
        """With `stop`, the pass ends in `PassEnded` after the last of the layers."""
        self.layers, self.stop = layers, stop
        self.states: dict[int, torch.Tensor] = {}

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """Keeps the states of a learning layer; optionally ends the pass after the last one."""
        if layer in self.layers:
            self.states[layer] = states
        if self.stop and layer == max(self.layers):
            raise PassEnded


class Mixer(Tap):
    """Mixes in maps that were inferred before.

    A layer that runs again for its gradient (checkpointing) asks again and must be told the same
    in the same way, so nothing is kept between two calls.
    """

    def __init__(self, prepare: Callable[[int], Mix | None]) -> None:
        self.prepare = prepare

    @override
    def mix(self, layer: int) -> Mix | None:
        """What is mixed into this layer."""
        return self.prepare(layer)


class Injection:
    """Every question's map and strength, by injection layer, in the form that attention takes."""

    def __init__(self, shard: Shard, plan: Plan, inferred: dict[int, Inferred]) -> None:
        """Maps by learning layer; they may come in later, but before they are needed."""
        self.shard, self.plan, self.inferred = shard, plan, inferred
        self.sources = {} if plan.source == "plain" else plan.settings.sources()
        start = shard.head["input_ids"].shape[1]
        is_prefill = plan.settings.phase == "prefill"
        self.several = shard.question.shape[1] > 1 or is_prefill
        turn = shard.turn
        if is_prefill:
            turn = turn.masked_fill(shard.part == ANSWER, -1)
        self.turns = F.pad(turn, (start, 0), value=-1) if self.several else None
        if self.sources:
            self.first_row = shard.columns.max(1).values + 1

    def maps(self, layer: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Map (Q, N) and strength (Q, H) for a layer; None where nothing is injected."""
        if layer not in self.sources:
            return None
        out = self.inferred[self.sources[layer]].used
        weights, gate = out.map, out.gate[:, layer]
        if self.plan.fixed_gate:
            gate = torch.ones_like(gate)
        if self.plan.source == "truth":
            weights = self.shard.target
            gate = gate * (weights.sum(1, keepdim=True) > 0)
        return weights, (self.plan.settings.alpha * gate).clamp(0, 1)

    def mix(self, layer: int, rows: torch.Tensor, values: torch.Tensor | None = None) -> Mix | None:
        """What is mixed into some rows (R',) of a layer.

        Args:
            layer: The layer.
            rows: Which rows run.
            values: Values of the images' tokens (B, Hkv, N, D) where every image was read once: its
                maps are pooled once, too.
        """
        found = self.maps(layer)
        if found is None:
            return None
        weights, strength = found
        asked = self.shard.question[rows]
        asked = asked if self.several else asked[:, 0]
        image, pooled = self.shard.image[rows], None
        if values is not None:
            grid = weights.unflatten(0, (len(values), -1)).to(values.dtype)
            pooled = (grid[:, None] @ values).transpose(1, 2).flatten(0, 1)[asked].float()
        return Mix(
            columns=self.shard.columns[image],
            map=weights[asked],
            strength=strength[asked],
            first_row=self.first_row[image],
            turns=None if self.turns is None else self.turns[rows],
            pooled=pooled,
        )


def full_precision_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """`vif.model.attention.attention` outside of autocast, for training on a CPU.

    There the fused kernel takes half as long in float32, forward and backward, as in bfloat16.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key, value = query.float(), key.float(), value.float()
        return attention(module, query, key, value, attention_mask, **kwargs)


AttentionInterface.register(FULL_PRECISION, full_precision_attention)
AttentionMaskInterface.register(FULL_PRECISION, sdpa_mask)
