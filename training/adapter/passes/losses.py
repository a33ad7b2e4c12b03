"""The results of a pass over a shard, and the sums of losses over it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

from training.adapter.passes.infer import Inferred
from training.adapter.plan import Plan
from training.data.encoding import IGNORE
from training.data.shard import Shard
from vif.adapter.outputs import Rendered
from vif.adapter.sparsity import entropy_loss, volume_loss


class AnswerLogits(NamedTuple):
    """Logits (A, V) and labels (A,) of answer tokens, with the question each belongs to (A,)."""

    logits: torch.Tensor
    labels: torch.Tensor
    question: torch.Tensor


class PassResult(NamedTuple):
    """The result of one pass over a shard.

    Attributes:
        inferred: Per learning layer, Q questions each.
        answers: None in a step that trains the map alone.
    """

    inferred: dict[int, Inferred]
    answers: AnswerLogits | None


def select_positions(logits: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """The logits of the positions asked for: VideoLLaMA 3 gives all, whatever it is asked for.

    Args:
        logits: (R, P or more, V).
        keep: Positions that ``logits_to_keep`` named, (P,).
    """
    return logits if logits.shape[1] == len(keep) else logits[:, keep]


def answers_of(
    shard: Shard, rows: torch.Tensor, keep: torch.Tensor, logits: torch.Tensor
) -> AnswerLogits:
    """The answer tokens of some rows.

    Args:
        shard: See `training.data.shard`.
        rows: Which rows ran, (R',).
        keep: Positions in a row whose logits are given, (P,).
        logits: (R', P, V); the row before a token predicts it.
    """
    labels = shard.labels[rows][:, keep + 1]
    turn = shard.turn[rows][:, keep + 1].clamp_min(0)
    wanted = labels != IGNORE
    whose = shard.question[rows].gather(1, turn)
    return AnswerLogits(logits[wanted].float(), labels[wanted], whose[wanted])


def sum_losses(
    shard: Shard, plan: Plan, outcome: PassResult, free_bits: float = 0.0
) -> dict[str, torch.Tensor]:
    """Sums over questions (``lm``: answer tokens), every learning layer counting alike.

    Args:
        shard: See `training.data.shard`.
        plan: What the step does.
        outcome: What the shard gave.
        free_bits: Divergence of posterior and prior that costs nothing, in nats as `kl`.
    """
    valid, target = shard.row >= 0, shard.target
    known = target.sum(1) > 0
    share = 1 / max(len(outcome.inferred), 1)
    parts: dict[str, torch.Tensor] = {}

    def add(name: str, values: torch.Tensor) -> None:
        value = share * values.sum()
        parts[name] = parts[name] + value if name in parts else value

    for found in outcome.inferred.values():
        out = found.used
        if found.kl is not None:
            add("kl", found.kl[valid])
            add("kl_over", (found.kl - free_bits).clamp_min(0)[valid])
        add("entropy", entropy_loss(out.map)[valid])
        add("volume", volume_loss(out.sigmas)[valid])
        add("repulsion", repulsion_loss(out)[valid])
        add("box", map_loss(out, target)[known])
        if shard.evidence is not None:
            taught = shard.taught
            wanted = responsibility(found.prior.map, shard.evidence, plan.prior_power)
            add("evidence", map_loss(found.prior, wanted)[taught])
            if found.kl is not None:
                add("posterior", map_loss(out, wanted)[taught])
        with torch.no_grad():
            side = "pointing" if found.kl is None else "posterior_pointing"
            add(side, is_in_box(out, target)[known])
            add("in_box", (out.map * (target > 0)).sum(1)[known])
            add("alpha", strength(plan, out).mean(1)[valid])
    if outcome.answers is not None:
        logits, labels, _ = outcome.answers
        parts["lm"] = F.cross_entropy(logits, labels, reduction="sum")
    return parts


def is_in_box(out: Rendered, target: torch.Tensor) -> torch.Tensor:
    """Whether a map's peak lies in a true box (Q, N), (Q,) in {0, 1}."""
    peak = out.map.argmax(-1, keepdim=True)
    return (target.gather(1, peak).squeeze(1) > 0).float()


def responsibility(prior: torch.Tensor, evidence: torch.Tensor, power: float) -> torch.Tensor:
    """Where an answer lies as far as prior and evidence can tell, (Q, N), rows sum to 1.

    map_j^power p(answer | place j) / sum, without a gradient. Cross-entropy to it with a power of 1
    has the gradient of the marginal likelihood -log sum_j map_j p(answer | place j): this is
    expectation maximisation. A smaller power listens more to the answer: a prior that knows
    little yet then confirms fewer of its own mistakes. Deterministic annealing EM (Ueda and Nakano
    1998) tempers prior and likelihood alike; here the likelihood, the only thing known at first,
    keeps its weight.

    Args:
        prior: Maps made without the answer, (Q, N).
        evidence: log p(answer | place) up to a constant, (Q, N).
        power: Of the prior, in [0, 1].
    """
    return (power * prior.detach().clamp_min(1e-9).log() + evidence).softmax(1)


def repulsion_loss(out: Rendered) -> torch.Tensor:
    """How much weight lies on pairs of components that overlap, (Q,) in [0, 1).

    0 where one component has all the weight or all are far apart: a map that names one place needs
    one component, and another place another one.
    """
    gap = (out.means[:, :, None] - out.means[:, None]).square().sum(-1)
    variance = out.sigmas.square()
    overlap = (-gap / (2 * (variance[:, :, None] + variance[:, None]))).exp()
    pairs = out.weights[:, :, None] * out.weights[:, None] * overlap
    return pairs.sum((1, 2)) - pairs.diagonal(dim1=1, dim2=2).sum(1)


def strength(plan: Plan, out: Rendered) -> torch.Tensor:
    """Share of attention that is replaced, (Q, injection layers * H)."""
    gate = out.gate[:, plan.settings.injection_layers].flatten(1)
    return (plan.settings.alpha * gate).clamp(0, 1)


def map_loss(out: Rendered, wanted: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of a map, and of the pointing behind it, to a wanted map (Q, N), (Q,).

    Not part of the published loss, which names no places.
    """
    pointing = (out.weights[..., None] * out.pointing).sum(1)
    map_, behind = (
        -(wanted * given.clamp_min(1e-9).log()).sum(-1) for given in (out.map, pointing)
    )
    return map_ + behind
