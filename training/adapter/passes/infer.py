"""From the states of a learning layer to every question's map."""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from training.adapter.plan import Plan, noise
from training.data.shard import Shard
from vif.adapter.base import VIFAdapter
from vif.adapter.latent import kl_divergence
from vif.adapter.outputs import Rendered


class Inferred(NamedTuple):
    """The inferred maps of Q questions.

    Attributes:
        used: What is injected: of a sample of the posterior or the prior.
        prior: Of the prior's mean, where `used` is of the posterior; otherwise `used` itself.
        kl: KL(posterior || prior) in nats, (Q,); None in a step of the prior.
    """

    used: Rendered
    prior: Rendered
    kl: torch.Tensor | None


def infer(
    adapter: VIFAdapter,
    shard: Shard,
    plan: Plan,
    layer: int,
    image: torch.Tensor,
    text: torch.Tensor,
) -> Inferred:
    """Infers all maps of a shard.

    Args:
        adapter: The adapter.
        shard: See `training.data.shard`.
        plan: What the step does.
        layer: The learning layer.
        image: Its states at image tokens, (B, N, d).
        text: Its states at what latents read, (Q, L, d).

    Returns:
        Maps and their divergence.
    """
    # The backward pass of the fused CPU kernel is slow in half precision.
    math = sdpa_kernel(SDPBackend.MATH) if image.device.type == "cpu" else nullcontext()
    with math:
        memory = adapter.remember(image, shard.centres)
        question = shard.is_question.clone()
        question[~question.any(1), 0] = True  # Slots without a question may read anything.
        prior = adapter.latent(memory.tokens, text.float(), question)
        drawn = noise(shard, plan, layer, prior.mean) if plan.noise else 0.0
        if not plan.posterior:
            used = adapter.render(memory, prior.sample(drawn))
            return Inferred(used, used, None)
        latent = adapter.latent(memory.tokens, text.float(), question, shard.is_answer)
        used = adapter.render(memory, latent.sample(drawn))
        return Inferred(used, adapter.render(memory, prior.mean), kl_divergence(latent, prior))
