"""Backbone and adapter as one module: a batch in, sums of losses out."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from training.adapter.passes.losses import PassResult, sum_losses
from training.adapter.passes.shared import run_shared
from training.adapter.passes.steering import FULL_PRECISION
from training.adapter.passes.whole import run_whole
from training.adapter.plan import Plan
from training.adapter.teacher import Teacher
from training.data.shard import Shard
from vif.adapter import VIFAdapter
from vif.model.attention import select
from vif.model.backbone import Backbone
from vif.model.types import VisionLanguageModel

NOTHING = "nothing"


class VIFModel(nn.Module):
    """A backbone with its adapter in training.

    With a frozen backbone every image is read once for all its rows. A backbone that is trained
    with the adapter, and one that cannot read its image once, reads whole sequences.

    Attributes:
        tune: What is trained: ``"adapter"``, ``"lora"`` or ``"full"``.
        whole: Whether whole sequences are read.
        teacher: Says where looking would have helped an answer; None without.
        free_bits: See `sum_losses`.
    """

    def __init__(
        self,
        backbone: Backbone,
        adapter: VIFAdapter,
        tune: str = "adapter",
        teacher: Teacher | None = None,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__()
        self.teacher, self.free_bits = teacher, free_bits
        self.backbone, self.adapter, self.tune = backbone, adapter, tune
        self.vlm: VisionLanguageModel = backbone.model
        self.whole = tune != "adapter" or not backbone.reads_image_once
        if tune == "adapter":
            self.vlm.requires_grad_(False)
        if backbone.device.type == "cpu":
            select(self.vlm, FULL_PRECISION)

    @property
    def has_adapter(self) -> bool:
        """Whether the adapter is trained; without it this is the control of what else is tuned."""
        return any(parameter.requires_grad for parameter in self.adapter.parameters())

    @override
    def train(self, mode: bool = True) -> VIFModel:
        """A frozen backbone stays in evaluation mode: no dropout."""
        super().train(mode)
        if self.tune == "adapter":
            self.vlm.eval()
            # Its layers alone are told, so that they do not keep what checkpointing runs again.
            for layer in self.vlm.get_decoder().layers:
                layer.training = mode
        return self

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """Keeps layer inputs only, and runs layers again for their gradients.

        Always in the form without reentry: the other one gives no gradient to what layers take in
        besides their input, such as maps (the published code lost its generator's in this way).

        Args:
            activation_checkpointing_kwargs: For ``torch.utils.checkpoint.checkpoint``.
            **options: For the backbone's own method.
        """
        values = (activation_checkpointing_kwargs or {}) | {"use_reentrant": False}
        self.vlm.activation_checkpointing_enable(values, **options)
        # transformers made the embeddings require gradients, which this form does not need.
        self.vlm.disable_input_require_grads()
        for layer in self.vlm.get_decoder().layers:
            # Shared keys and values are never written to, see `passes.shared.SharedLayer`.
            layer._can_checkpoint_with_cache = not self.whole

    @override
    def forward(self, batch: dict[str, Any], plan: Plan) -> dict[str, torch.Tensor]:
        """Sums of every part of the loss, and of what is logged; see `sum_losses`.

        A batch without any image has a part `NOTHING` more, which is 0.
        """
        parts: dict[str, torch.Tensor] = {}
        for shard in batch["shards"]:
            if self.teacher is not None and shard.columns.shape[1]:
                shard = self.teacher.teach(self.vlm, shard, self.whole)
            losses = sum_losses(shard, plan, self.run(shard, plan), self.free_bits)
            for name, value in losses.items():
                parts[name] = parts[name] + value if name in parts else value
        if not any(shard.columns.shape[1] for shard in batch["shards"]):
            # Without an image the parameters that read images get no gradient. Every process must
            # give one to the same parameters, so they get one of 0.
            trained = (p for p in self.parameters() if p.requires_grad)
            nothing = (0.0 * p.reshape(-1)[:1].float().sum() for p in trained)
            parts[NOTHING] = sum(nothing, torch.zeros((), device=self.backbone.device))
        return parts

    def run(self, shard: Shard, plan: Plan) -> PassResult:
        """Reads images, infers maps and answers."""
        if not shard.columns.shape[1]:  # Text alone has no image.
            if plan.map_only:
                return PassResult({}, None)
            plan = replace(plan, source="plain")
        run = run_whole if self.whole else run_shared
        # DeepSpeed makes all weights bfloat16, the adapter's too, and leaves the rest to the model;
        # otherwise Trainer sees to it.
        dtype, device = next(self.adapter.parameters()).dtype, shard.columns.device.type
        with nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype):
            return run(self.vlm, self.adapter, shard, plan)
