"""Results of one method: accuracy, differences and attention, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vif import metrics
from vif.bench.questions import HARD, BenchItem, group_masks
from vif.scenes import GROUP_OF, is_correct
from vif.trace import Trace

RESAMPLES = 1000


@dataclass(frozen=True)
class Outcome:
    """One question answered by one method.

    Attributes:
        answer: The answer.
        right: Whether it is right.
        pointing: Whether the injected map's largest weight lies in a true box; None where nothing
            was injected or nothing is known.
        share: Share of attention on the image by layer, (L,).
        in_box: Share of that inside the true boxes by layer, (L,), None without boxes.
        seconds: Time the answer took, its image already encoded.
    """

    answer: str
    right: bool
    pointing: bool | None
    share: np.ndarray
    in_box: np.ndarray | None
    seconds: float


def outcome(trace: Trace, item: BenchItem) -> Outcome:
    """The result of one question."""
    covered = metrics.box_coverage(trace.cells, item.boxes)
    pointing = None
    if item.boxes and trace.mixtures:
        injected = np.mean([mixture.map for mixture in trace.mixtures], 0)
        # A method that injected nothing has no map to score.
        pointing = metrics.points_into(injected, covered) if injected.any() else None
    return Outcome(
        answer=trace.answer,
        right=is_correct(trace.answer, item.question.answer),
        pointing=pointing,
        share=metrics.image_share(trace),
        in_box=metrics.in_box_mass(trace, covered) if item.boxes else None,
        seconds=trace.meta["seconds"],
    )


def summary(
    found: Sequence[Outcome], base: Sequence[Outcome], questions: Sequence[BenchItem]
) -> dict[str, Any]:
    """One method beside the baseline.

    Args:
        found: Outcomes of the method.
        base: Outcomes of the baseline.
        questions: What was asked, in the same order.

    Returns:
        ``accuracy``, ``interval``, ``difference``, ``difference_interval`` by group (see
        `group_masks`); ``families``, ``family_difference``, ``family_n``; ``fixed`` and ``broken``
        (questions right only with, only without the method); ``agree``, share of answers that are
        the baseline's word by word; ``pointing``; per layer ``share`` and ``in_box``; and
        ``right``, a 0 or 1 for every question.
    """
    right, before = (np.array([o.right for o in some]) for some in (found, base))
    family = np.array([item.question.family for item in questions])
    by_family = {name: family == name for name in GROUP_OF if (family == name).any()}
    gain = right.astype(float) - before
    pointing = [o.pointing for o in found if o.pointing is not None]
    in_box = [o.in_box for o in found if o.in_box is not None]
    accuracy, spans = by_group(right.astype(float), questions)
    difference, difference_spans = by_group(gain, questions)
    same = [ours.answer == theirs.answer for ours, theirs in zip(found, base, strict=True)]
    return {
        "accuracy": accuracy,
        "interval": spans,
        "difference": difference,
        "difference_interval": difference_spans,
        "families": {name: _mean(right[mask]) for name, mask in by_family.items()},
        "family_difference": {name: _mean(gain[mask]) for name, mask in by_family.items()},
        "family_n": {name: int(mask.sum()) for name, mask in by_family.items()},
        "fixed": int((right & ~before).sum()),
        "broken": int((~right & before).sum()),
        "agree": _mean(np.array(same)),
        "pointing": _mean(np.array(pointing)) if pointing else None,
        "share": _by_layer([o.share for o in found]),
        "in_box": _by_layer(in_box) if in_box else [],
        "right": "".join(str(int(value)) for value in right),
    }


def by_pointing(
    found: Sequence[Outcome],
    others: Mapping[str, Sequence[Outcome]],
    questions: Sequence[BenchItem],
) -> dict[str, Any]:
    """Accuracy where a method's map points into a true box, and where it points elsewhere.

    Only fine-grained and grounding questions count; the others can be answered without looking at
    one place.

    Args:
        found: Outcomes of the method.
        others: Outcomes of every method that is compared, itself included.
        questions: What was asked, in the same order.

    Returns:
        For ``in_box`` and ``elsewhere``: ``n``, and ``accuracy`` by name of the method. Empty if
        either has no questions.
    """
    hard = group_masks(questions).get(HARD, np.zeros(len(questions), bool))
    sides = {}
    for side, wanted in (("in_box", True), ("elsewhere", False)):
        mask = hard & np.array([o.pointing is wanted for o in found])
        if not mask.any():
            return {}
        accuracy = {
            name: _mean(np.array([o.right for o in outcomes])[mask])
            for name, outcomes in others.items()
        }
        sides[side] = {"n": int(mask.sum()), "accuracy": accuracy}
    return sides


def by_group(
    values: np.ndarray, questions: Sequence[BenchItem]
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Means and their intervals by group.

    Args:
        values: One per question, (n,).
        questions: The questions.
    """
    scenes = np.array([item.scene.seed for item in questions])
    chosen = group_masks(questions)
    means = {name: _mean(values[mask]) for name, mask in chosen.items()}
    return means, {name: interval(values[mask], scenes[mask]) for name, mask in chosen.items()}


def interval(values: np.ndarray, clusters: np.ndarray) -> list[float]:
    """95 % percentile bootstrap interval of a mean, resampling whole scenes.

    Questions about one scene are not independent, so scenes are the unit (cluster bootstrap).

    Args:
        values: (n,).
        clusters: Scene of every value, (n,).

    Returns:
        [low, high]; the resampling has a fixed seed.
    """
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, values)
    counts = np.bincount(index)
    rng = np.random.default_rng(0)
    draws = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    return [round(float(v), 5) for v in np.quantile(means, (0.025, 0.975))]


def _by_layer(found: Sequence[np.ndarray]) -> list[float | None]:
    """The mean of every layer; None for one that has no attention."""
    return [None if np.isnan(layer).any() else _mean(layer) for layer in np.stack(found, 1)]


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 5)
