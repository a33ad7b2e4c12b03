"""The plan of one training step, with everything that is random in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.data.shard import Shard
from vif.settings import Settings

SOURCES = ("vif", "truth", "plain")


@dataclass(frozen=True)
class Plan:
    """What one step does; what is random in it depends on `seed` and the question alone.

    Attributes:
        settings: Ranges, strength, phase.
        posterior: Whether latents come from the posterior; otherwise from the prior.
        noise: Whether latents are drawn; otherwise their mean is taken.
        fixed_gate: Whether the gate is held at 1.
        map_only: Whether the answers are left out.
        prior_power: Power of the prior in what the map is taught, in [0, 1], see
            `training.adapter.passes.losses.responsibility`.
        seed: Of noise and gaps.
        gap_share: Share of rows whose positions start later, as after a long text.
        gap_max: Longest such gap.
        source: Whose maps are mixed in: one of `SOURCES`, ``"plain"`` for none.
    """

    settings: Settings
    posterior: bool = False
    noise: bool = False
    fixed_gate: bool = False
    map_only: bool = False
    prior_power: float = 1.0
    seed: int = 0
    gap_share: float = 0.0
    gap_max: int = 0
    source: str = "vif"


def noise(shard: Shard, plan: Plan, layer: int, like: torch.Tensor) -> torch.Tensor:
    """Standard normal noise (Q, K, width) for one learning layer."""
    drawn = [
        torch.randn(like.shape[1:], generator=_generator(plan, key, layer + 1))
        for key in shard.key.tolist()
    ]
    return torch.stack(drawn).to(like.device)


def position_gaps(shard: Shard, plan: Plan) -> torch.Tensor:
    """How much later the positions of every row start, (R,)."""
    found = []
    for key in shard.key[shard.question[:, 0]].tolist():
        generator = _generator(plan, key, 0)
        has_gap = float(torch.rand((), generator=generator)) < plan.gap_share
        length = int(torch.randint(1, max(plan.gap_max, 1) + 1, (), generator=generator))
        found.append(length * has_gap)
    return torch.tensor(found, device=shard.ids.device)


def _generator(plan: Plan, key: int, purpose: int) -> torch.Generator:
    """A separate random stream for a question and a purpose."""
    mixed = (plan.seed * 1_000_003 + key) * 128 + purpose
    return torch.Generator().manual_seed(mixed % 2**63)
