"""From the states of a learning layer to every question's map."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from training.adapter.plan import Plan, noise
from vif.adapter.base import Rendered, VIFAdapter
from vif.adapter.latent import kl_divergence


def infer(
    adapter: VIFAdapter,
    shard: dict[str, Any],
    plan: Plan,
    layer: int,
    image: torch.Tensor,
    text: torch.Tensor,
) -> tuple[Rendered, torch.Tensor]:
    """Infers all maps of a shard.

    Args:
        adapter: The adapter.
        shard: See `training.data.batches.make_shard`.
        plan: What the step does.
        layer: The learning layer.
        image: Its states at image tokens, (B, N, d).
        text: Its states at what latents read, (Q, L, d).

    Returns:
        What was rendered, and KL(posterior || prior) in nats, (Q,), zeros in a step of the prior.
    """
    # The backward pass of the fused CPU kernel is slow in half precision.
    math = sdpa_kernel(SDPBackend.MATH) if image.device.type == "cpu" else nullcontext()
    with math:
        memory = adapter.remember(image, shard["centres"])
        question = shard["is_question"].clone()
        question[~question.any(1), 0] = True  # a place without a question reads anything
        latent = prior = adapter.latent(memory.tokens, text.float(), question)
        kl = latent.mean.new_zeros(len(text), dtype=torch.float32)
        if plan.posterior:
            latent = adapter.latent(memory.tokens, text.float(), question, shard["is_answer"])
            kl = kl_divergence(latent, prior)
        drawn = noise(shard, plan, layer, latent.mean) if plan.noise else 0.0
        return adapter.render(memory, latent.sample(drawn)), kl
