"""Quality of maps and answers on validation data, teacher-forced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist

from training.adapter.model import VIFModel
from training.adapter.passes.losses import AnswerLogits, PassResult, is_in_box, strength
from training.adapter.plan import Plan
from training.data.shard import Shard
from vif.adapter.mixture import normalised_entropy
from vif.settings import Settings

SOURCES = {"plain": "plain", "vif": "vif", "oracle": "truth"}

Tallies = dict[str, dict[str, list[float]]]


@torch.no_grad()
def validate(
    model: VIFModel, batches: Iterable[dict[str, Any]], settings: Settings, device: torch.device
) -> Tallies:
    """Outcomes of every question by what was measured and family ("all" for all of them).

    With all earlier tokens right, an answer whose tokens are all the most likely ones is what
    greedy decoding gives. ``plain``, ``vif`` and ``oracle`` (the true box at the same strength) are
    such accuracies; ``pointing`` is whether the map's peak lies in a true box,
    ``posterior_pointing`` the same of a map made with the answer known and ``kl`` the divergence of
    the two, ``in_box`` the map's mass there, ``entropy`` its share of that of a uniform map,
    ``alpha`` the mean strength.
    """
    found: Tallies = defaultdict(lambda: defaultdict(list))
    for batch in batches:
        for shard in batch["shards"]:
            shard = shard.to(device)
            if not shard.columns.shape[1]:
                continue
            for name, source in SOURCES.items():
                if source != "plain" and not model.has_adapter:
                    continue
                plan = Plan(settings, source=source)
                outcome = model.run(shard, plan)
                assert outcome.answers is not None  # The plan includes answers.
                right = _right(outcome.answers, len(shard.row))
                _collect(found[name], shard, right, shard.row >= 0)
                if name == "vif":
                    _collect_maps(found, shard, plan, outcome)
                    _collect_posterior(found, shard, model.run(shard, _knowing(settings)))
    return found


def _knowing(settings: Settings) -> Plan:
    """Maps alone, of the posterior's mean."""
    return Plan(settings, posterior=True, map_only=True)


def _collect_posterior(found: Tallies, shard: Shard, outcome: PassResult) -> None:
    """Metrics of the posterior, which knows the answer: pointing and divergence."""
    out = list(outcome.inferred.values())[-1]
    known = shard.target.sum(1) > 0
    assert out.kl is not None  # The plan requests the posterior.
    _collect(found["posterior_pointing"], shard, is_in_box(out.used, shard.target), known)
    _collect(found["kl"], shard, out.kl, shard.row >= 0)


def _collect_maps(found: Tallies, shard: Shard, plan: Plan, outcome: PassResult) -> None:
    """Metrics of the maps of the last learning layer."""
    out = list(outcome.inferred.values())[-1].used
    target, valid = shard.target, shard.row >= 0
    known = target.sum(1) > 0
    _collect(found["pointing"], shard, is_in_box(out, target), known)
    _collect(found["in_box"], shard, (out.map * (target > 0)).sum(1), known)
    _collect(found["entropy"], shard, normalised_entropy(out.map), valid)
    _collect(found["alpha"], shard, strength(plan, out).mean(1), valid)


def _collect(
    found: dict[str, list[float]], shard: Shard, values: torch.Tensor, chosen: torch.Tensor
) -> None:
    for turn, value, ok in zip(shard.turns, values.tolist(), chosen.tolist(), strict=True):
        if ok and turn is not None:
            for name in {"all", turn.group, turn.family} - {""}:
                found[name].append(float(value))


def _right(answers: AnswerLogits, number: int) -> torch.Tensor:
    """Whether every token of an answer is the most likely one, (Q,) bool."""
    right = torch.ones(number, dtype=torch.bool, device=answers.labels.device)
    right[answers.question[answers.logits.argmax(-1) != answers.labels]] = False
    return right


def gather(found: Tallies) -> dict[str, dict[str, float]]:
    """Means over the questions of all processes."""
    plain = {name: dict(groups) for name, groups in found.items()}
    everyone: list[Any] = [plain]
    if dist.is_initialized():
        everyone = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, plain)
    joined: Tallies = defaultdict(lambda: defaultdict(list))
    for part in everyone:
        for name, groups in part.items():
            for group, values in groups.items():
                joined[name][group] += values
    return {
        name: {group: round(sum(v) / len(v), 4) for group, v in sorted(groups.items())}
        for name, groups in joined.items()
    }
