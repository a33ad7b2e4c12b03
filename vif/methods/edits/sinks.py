"""Attention sinks, tokens that draw attention without meaning anything, as methods use them.

Two tests on what runs through a model, and what both methods built on them do. `vif.metrics.sinks`
has the tests for what has been recorded.
"""

from __future__ import annotations

import torch

PUBLISHED_WIDTH = 4096  # of LLaVA-1.5-7B, for which tau = 20 is published
# Published models have one or two sink dimensions.
NUM_DIMENSIONS = 2
# Below this many rms no activation counts as massive: in narrow models chance reaches it.
LEAST_TAU = 5.0


def activation_sinks(
    states: torch.Tensor, first: torch.Tensor, tau: float = 20.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens with massive activations: phi(x) = max_(d in D) |x_d| / rms(x) > tau.

    VAR (arXiv 2503.03321) lists D for each model. Here D is read off the first token, which is a
    sink wherever there are any: the two dimensions of its state with the largest |x_d| / rms(x), if
    that exceeds tau. A state of width d cannot exceed sqrt(d), so tau is scaled with it: 20 at
    width 4096 means that one dimension holds a tenth of a state's energy. It is never under 5,
    which the largest of a few hundred random values does not reach.

    Args:
        states: Input of a layer, (B, S, d).
        first: Position of the first token of every prompt, (B,).
        tau: Threshold at width 4096.

    Returns:
        Which tokens are sinks, (B, S) bool, and which dimensions tell, (B, d) bool; both False
        everywhere for a model without massive activations.
    """
    states = states.float()
    width = states.shape[-1]
    threshold = max(tau * (width / PUBLISHED_WIDTH) ** 0.5, LEAST_TAU)
    relative = states.abs() / states.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-12)
    of_first = relative[torch.arange(len(states), device=first.device), first]
    top = of_first.topk(min(NUM_DIMENSIONS, width), -1)
    dimensions = torch.zeros_like(of_first, dtype=torch.bool)
    dimensions.scatter_(1, top.indices, top.values > threshold)
    score = relative.masked_fill(~dimensions[:, None], 0).amax(-1)
    is_token = torch.arange(states.shape[1], device=first.device) >= first[:, None]
    return (score > threshold) & is_token, dimensions


def column_sinks(
    weights: torch.Tensor, seen: torch.Tensor, columns: torch.Tensor, factor: float = 5.0
) -> torch.Tensor:
    """Tokens that draw much of the rows that see them: mean_i a_ij > factor / number of keys.

    ACT (arXiv 2406.15765), which calls the factor alpha.

    Args:
        weights: Attention rows, (B, H, R, K).
        seen: Which key counts in which row, (B, 1, R, K) bool.
        columns: Which keys may be sinks, broadcastable to (B, H, K); others are False.
        factor: Times the even share.

    Returns:
        (B, H, K) bool.
    """
    number = seen.any(2).sum(-1, keepdim=True).clamp_min(1)
    mean = (weights * seen).sum(2) / seen.sum(2).clamp_min(1)
    return (mean > factor / number) & columns.bool()


def redistribute(
    weights: torch.Tensor, sinks: torch.Tensor, targets: torch.Tensor, keep: float
) -> torch.Tensor:
    """Takes from sinks and gives to targets in proportion to what they have; rows keep their sums.

    a_j <- keep * a_j on sinks; the freed sum is spread over targets in proportion to a_j.

    Args:
        weights: (B, H, R, K).
        sinks: 1 where to take from, broadcastable to `weights`.
        targets: 1 where to give to, likewise; no key is both.
        keep: Share that sinks keep, in [0, 1].

    Returns:
        (B, H, R, K); a row without any target is left alone.
    """
    freed = (1 - keep) * (weights * sinks).sum(-1, keepdim=True)
    held = (weights * targets).sum(-1, keepdim=True)
    factor = 1 - (1 - keep) * sinks + freed / held.clamp_min(1e-12) * targets
    return torch.where(held > 0, weights * factor, weights)
