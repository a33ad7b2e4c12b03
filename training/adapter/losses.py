"""What a shard gave, and the sums of losses over it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from training.adapter.plan import Plan
from training.data.encoding import IGNORE
from vif.adapter.base import Rendered, entropy_loss, volume_loss


class Answers(NamedTuple):
    """Logits (A, V) and labels (A,) of answer tokens, with the question each belongs to (A,)."""

    logits: torch.Tensor
    labels: torch.Tensor
    question: torch.Tensor


class Outcome(NamedTuple):
    """What a shard gave.

    Attributes:
        rendered: Per learning layer, Q questions each.
        kl: Per learning layer, (Q,).
        answers: None in a step that trains the map alone.
    """

    rendered: dict[int, Rendered]
    kl: dict[int, torch.Tensor]
    answers: Answers | None


def answers_of(
    shard: dict[str, Any], rows: torch.Tensor, keep: torch.Tensor, logits: torch.Tensor
) -> Answers:
    """The answer tokens of some rows.

    Args:
        shard: See `training.data.batches.make_shard`.
        rows: Which rows ran, (R',).
        keep: Positions in a row whose logits are given, (P,).
        logits: (R', P, V); the row before a token predicts it.
    """
    labels = shard["labels"][rows][:, keep + 1]
    turn = shard["turn"][rows][:, keep + 1].clamp_min(0)
    wanted = labels != IGNORE
    whose = shard["question"][rows].gather(1, turn)
    return Answers(logits[wanted].float(), labels[wanted], whose[wanted])


def sum_losses(shard: dict[str, Any], plan: Plan, outcome: Outcome) -> dict[str, torch.Tensor]:
    """Sums over questions (``lm``: answer tokens), every learning layer counting alike."""
    valid, target = shard["row"] >= 0, shard["target"]
    known = target.sum(1) > 0
    share = 1 / max(len(outcome.rendered), 1)
    parts: dict[str, torch.Tensor] = {}

    def add(name: str, values: torch.Tensor) -> None:
        parts[name] = parts.get(name, 0) + share * values.sum()

    for layer, out in outcome.rendered.items():
        add("kl", outcome.kl[layer][valid])
        add("entropy", entropy_loss(out.map)[valid])
        add("volume", volume_loss(out.sigmas)[valid])
        add("box", box_loss(out, target)[known])
        with torch.no_grad():
            peak = out.map.argmax(-1, keepdim=True)
            add("pointing", (target.gather(1, peak).squeeze(1) > 0)[known].float())
            add("in_box", (out.map * (target > 0)).sum(1)[known])
            add("alpha", strength(plan, out).mean(1)[valid])
    if outcome.answers is not None:
        logits, labels, _ = outcome.answers
        parts["lm"] = F.cross_entropy(logits, labels, reduction="sum")
    return parts


def strength(plan: Plan, out: Rendered) -> torch.Tensor:
    """Share of attention that is replaced, (Q, injection layers * H)."""
    gate = out.gate[:, plan.settings.injection_layers].flatten(1)
    return (plan.settings.alpha * gate).clamp(0, 1)


def box_loss(out: Rendered, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the map, and of the pointing behind it, against true boxes (Q, N), (Q,).

    Not part of the published loss: boxes are known for generated scenes only.
    """
    pointing = (out.weights[..., None] * out.pointing).sum(1)
    return sum(-(target * p.clamp_min(1e-9).log()).sum(-1) for p in (out.map, pointing))
