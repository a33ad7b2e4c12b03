"""Passes over whole sequences, for backbones that are trained or whose image sees the question."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch.nn import functional as F
from typing_extensions import override

from training.adapter.passes.infer import Inferred, infer
from training.adapter.passes.losses import PassResult, answers_of, select_positions
from training.adapter.passes.shared import has_mrope, image_states
from training.adapter.passes.steering import Injection
from training.adapter.plan import Plan, position_gaps
from training.data.encoding import ANSWER
from training.data.shard import Shard
from vif.adapter.base import VIFAdapter
from vif.model import families
from vif.model.attention import KEYWORD, PassEnded, Tap
from vif.model.rows import Mix
from vif.model.types import VisionLanguageModel


class LiveInjection(Tap):
    """Infers at learning layers and mixes into injection layers of the same pass.

    Layers report between each other, outside of what gradient checkpointing runs again.
    """

    def __init__(self, adapter: VIFAdapter, shard: Shard, plan: Plan) -> None:
        self.adapter, self.shard, self.plan = adapter, shard, plan
        self.layers = [] if plan.source == "plain" else plan.settings.learning_layers
        self.inferred: dict[int, Inferred] = {}
        self.injection = Injection(shard, plan, self.inferred)
        self.rows = torch.arange(len(shard.ids), device=shard.ids.device)

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """Infers at a learning layer."""
        if layer not in self.layers:
            return
        start = self.shard.head["input_ids"].shape[1]
        text = states[self.shard.row.clamp_min(0)[:, None], start + self.shard.read]
        self.inferred[layer] = infer(
            self.adapter, self.shard, self.plan, layer, image_states(self.shard, states), text
        )
        if self.plan.map_only and layer == self.layers[-1]:
            raise PassEnded

    @override
    def mix(self, layer: int) -> Mix | None:
        """What is mixed into this layer."""
        return self.injection.mix(layer, self.rows)


def run_whole(
    vlm: VisionLanguageModel, adapter: VIFAdapter, shard: Shard, plan: Plan
) -> PassResult:
    """One pass over every conversation, its image included."""
    tap = LiveInjection(adapter, shard, plan)
    start = shard.head["input_ids"].shape[1]
    wanted = shard.labels[:, 1:] >= 0
    keep = torch.nonzero(wanted.any(0)).squeeze(1)
    logits = None
    with suppress(PassEnded):
        logits = vlm(
            **inputs_of(vlm, shard, plan),
            use_cache=False,
            logits_to_keep=start + keep,
            **{KEYWORD: tap},
        ).logits
    answers = None
    if logits is not None:
        answers = answers_of(shard, tap.rows, keep, select_positions(logits, start + keep))
    return PassResult(tap.inferred, answers)


def inputs_of(
    vlm: VisionLanguageModel, shard: Shard, plan: Plan | None = None
) -> dict[str, torch.Tensor]:
    """Images and rows joined into sequences, padded on both sides."""
    inputs, length = dict(shard.head), shard.ids.shape[1]
    ticks = torch.arange(length, device=shard.ids.device)
    own = {
        "input_ids": shard.ids,
        "attention_mask": (ticks < shard.length[:, None]).long(),
    }
    if families.find(vlm.config.model_type).sees_all:
        # With bidirectional attention in the prompt, the model needs to know where answers begin.
        own["token_type_ids"] = (shard.part == ANSWER).long()
    for name, tensor in inputs.items():
        if tensor.is_floating_point():
            inputs[name] = tensor.to(vlm.dtype)
        elif name in own:
            inputs[name] = torch.cat([tensor, own[name]], 1)
        elif name.endswith("token_type_ids"):
            inputs[name] = F.pad(tensor, (0, length))
    if not has_mrope(vlm):
        positions = (inputs["attention_mask"].cumsum(1) - 1).clamp_min(0)
        if plan is not None and plan.gap_max:
            positions[:, -length:] += position_gaps(shard, plan)[:, None]
        inputs["position_ids"] = positions
    return inputs
