"""Accuracy and attention on scenes, method by method, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vif import metrics
from vif.boxes import Box, box_shares
from vif.scenes import GROUP_OF, GROUPS, Question, Scene, ask_scene, draw_scene, is_correct
from vif.scenes.text import unrelated_text
from vif.session import Session
from vif.settings import Settings
from vif.trace import Trace

QUESTIONS_PER_SCENE = 5
BATCH_SIZE = 40
ANSWER_TOKENS = 5
RESAMPLES = 1000
BASELINE = "plain"


@dataclass(frozen=True)
class Item:
    """One question of the benchmark.

    Attributes:
        scene: Its scene.
        question: The question.
        context: Unrelated text before it.
        boxes: True boxes in [0, 1] image coordinates.
    """

    scene: Scene
    question: Question
    context: str
    boxes: tuple[Box, ...]


def items(split: str, num_questions: int, seed: int, text: int) -> list[Item]:
    """Questions of the benchmark, five per scene; the same arguments give the same questions.

    Args:
        split: One of `SPLITS`.
        num_questions: How many.
        seed: Every seed has scenes of its own.
        text: Tokens of unrelated text before every question.
    """
    return list(_items(split, num_questions, seed, text))


def _items(split: str, num_questions: int, seed: int, text: int) -> Iterator[Item]:
    count, number = 0, seed * 1_000_000
    while True:
        scene = draw_scene(number, split)
        size = scene.image.width
        for question in ask_scene(scene, number, QUESTIONS_PER_SCENE):
            boxes = tuple(tuple(v / size for v in box) for box in question.boxes)
            yield Item(scene, question, unrelated_text(count, text), boxes)
            count += 1
            if count == num_questions:
                return
        number += 1


def run(
    session: Session,
    questions: Sequence[Item],
    methods: Sequence[str],
    settings: Settings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Asks every question by every method.

    Args:
        session: Model and adapter.
        questions: Of `items`.
        methods: Names; the first is the baseline that the others are compared with.
        settings: The session's defaults if None.
        progress: Called with (questions done, questions in all).

    Returns:
        Per method the entries of the bench's JSON: ``accuracy``, ``interval``, ``difference``,
        ``difference_interval`` (by group and ``"all"``), ``families``, ``fixed``, ``broken``,
        ``pointing``, and per layer ``share`` and ``in_box``.
    """
    settings = replace(settings or session.defaults, max_new_tokens=ANSWER_TOKENS)
    outcomes: dict[str, list[_Outcome]] = {name: [] for name in methods}
    for start in range(0, len(questions), BATCH_SIZE):
        part = questions[start : start + BATCH_SIZE]
        asked = [(q.scene.image, q.question.text, q.context, q.boxes) for q in part]
        for name, traces in session.ask_batch(asked, methods, settings).items():
            outcomes[name] += [_outcome(t, q) for t, q in zip(traces, part, strict=True)]
        if progress is not None:
            progress(min(start + BATCH_SIZE, len(questions)), len(questions))
    groups = np.array([q.question.group for q in questions])
    families = np.array([q.question.family for q in questions])
    scenes = np.array([q.scene.seed for q in questions])
    right = {name: np.array([o.right for o in found]) for name, found in outcomes.items()}
    base = right[methods[0]]
    return {
        name: _summary(outcomes[name], right[name], base, groups, families, scenes)
        for name in methods
    }


@dataclass(frozen=True)
class _Outcome:
    right: bool
    pointing: bool | None
    share: np.ndarray
    in_box: np.ndarray | None


def _outcome(trace: Trace, item: Item) -> _Outcome:
    truth = box_shares(trace.cells, item.boxes)
    covered = (truth > 0).astype(float)
    pointing = None
    if item.boxes and trace.mixtures:
        injected = np.mean([mixture.map for mixture in trace.mixtures], 0)
        pointing = metrics.points_into(injected, truth)
    return _Outcome(
        right=is_correct(trace.answer, item.question.answer),
        pointing=pointing,
        share=metrics.image_share(trace),
        in_box=metrics.in_box_mass(trace, covered) if item.boxes else None,
    )


def _summary(
    found: list[_Outcome],
    right: np.ndarray,
    base: np.ndarray,
    groups: np.ndarray,
    families: np.ndarray,
    scenes: np.ndarray,
) -> dict[str, Any]:
    chosen = {"all": np.ones(len(right), bool)} | {g: groups == g for g in GROUPS}
    hard = (groups == "fine-grained") | (groups == "grounding")
    chosen["fine-grained + grounding"] = hard
    chosen = {name: mask for name, mask in chosen.items() if mask.any()}
    gain = right.astype(float) - base
    by_family = {f: families == f for f in GROUP_OF if (families == f).any()}
    pointing = [o.pointing for o in found if o.pointing is not None]
    return {
        "accuracy": {g: _mean(right[m]) for g, m in chosen.items()},
        "interval": {g: interval(right[m].astype(float), scenes[m]) for g, m in chosen.items()},
        "difference": {g: _mean(gain[m]) for g, m in chosen.items()},
        "difference_interval": {g: interval(gain[m], scenes[m]) for g, m in chosen.items()},
        "families": {f: _mean(right[m]) for f, m in by_family.items()},
        "family_difference": {f: _mean(gain[m]) for f, m in by_family.items()},
        "family_n": {f: int(m.sum()) for f, m in by_family.items()},
        "fixed": int((right & ~base).sum()),
        "broken": int((~right & base).sum()),
        "pointing": _mean(np.array(pointing)) if pointing else None,
        "share": [_mean(v) for v in np.stack([o.share for o in found], 1)],
        "in_box": [
            _mean(v) for v in np.stack([o.in_box for o in found if o.in_box is not None], 1)
        ],
    }


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 5)


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


def table(run_of_text: dict[str, Any]) -> str:
    """One run as a plain-text table."""
    methods = run_of_text["methods"]
    groups = list(next(iter(methods.values()))["accuracy"])
    head = f"{'method':<10}" + "".join(f"{g:>26}" for g in groups)
    lines = [
        f"text {run_of_text['text']} tokens, {run_of_text['n']} questions, "
        f"seed {run_of_text['seed']}; accuracy % [95 % interval] (difference to the first method)",
        head + f"{'fixed':>7}{'broken':>7}{'pointing':>9}",
    ]
    for name, found in methods.items():
        cells = ""
        for group in groups:
            low, high = (100 * v for v in found["interval"][group])
            value, gain = 100 * found["accuracy"][group], 100 * found["difference"][group]
            cells += f"{value:6.1f} [{low:5.1f},{high:5.1f}] ({gain:+5.1f})".rjust(26)
        pointing = "-" if found["pointing"] is None else f"{100 * found['pointing']:.1f}"
        lines.append(f"{name:<10}{cells}{found['fixed']:>7}{found['broken']:>7}{pointing:>9}")
    lines.append("difference to the first method, its 95 % interval in points:")
    for name, found in list(methods.items())[1:]:
        spans = (
            f"{g} [{100 * low:+.1f}, {100 * high:+.1f}]"
            for g, (low, high) in found["difference_interval"].items()
        )
        lines.append(f"  {name:<10}" + ", ".join(spans))
    lines.append("by layer: share of attention on the image | share of that inside the true box")
    for name, found in methods.items():
        share, inside = (" ".join(f"{v:.2f}" for v in found[k]) for k in ("share", "in_box"))
        lines.append(f"  {name:<10}{share} | {inside}")
    lines.append("by family:")
    for family in next(iter(methods.values()))["families"]:
        values = "  ".join(f"{n} {100 * f['families'][family]:.1f}" for n, f in methods.items())
        count = next(iter(methods.values()))["family_n"][family]
        lines.append(f"  {family:<15} n={count:<4} {values}")
    return "\n".join(lines)
