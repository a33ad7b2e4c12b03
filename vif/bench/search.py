"""Searches for a question whose answer a method changes, and counts the questions asked."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vif.bench.questions import BenchItem
from vif.bench.running import ANSWER_TOKENS, BASELINE
from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.scenes import GROUP_OF, RELATIONAL, ask_scene, draw_scene, is_correct
from vif.session import Session
from vif.settings import Settings

BATCH, LIMIT, PER_SCENE = 16, 192, 2
# What a change is: the baseline was wrong and the method right, the reverse, or neither was right.
FIXED, BROKEN, OTHER = KINDS = ("fixed", "broken", "other")


@dataclass(frozen=True)
class ChangedAnswer:
    """A question that two methods answer differently.

    Attributes:
        item: The question with its scene.
        kind: One of `KINDS`.
        answers: By method.
    """

    item: BenchItem
    kind: str
    answers: dict[str, str]


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        asked: How many questions were asked.
        counts: How many of them changed, by kind.
        found: The first that changed as was wanted; None if none of them did.
        next_seed: Where to go on.
        cancelled: Whether it was stopped before its end.
    """

    asked: int
    counts: dict[str, int]
    found: ChangedAnswer | None
    next_seed: int
    cancelled: bool = False


def find_change(
    session: Session,
    method: str = "vif",
    *,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    context: str = "",
    settings: Settings | None = None,
    batch: int = BATCH,
    limit: int = LIMIT,
    cancel: threading.Event | None = None,
) -> SearchResult:
    """Draws relational questions about test scenes until an answer changes.

    Nothing is chosen but the order: the first change of a wanted kind ends the search with its
    batch, and every question of that batch is counted.

    Args:
        session: Model and adapter.
        method: Compared with the plain model.
        seed: Of the first scene; the same seed finds the same question.
        kinds: Which changes end the search, out of `KINDS`.
        context: Unrelated text before every question.
        settings: The session's defaults if None.
        batch: Questions per batch, >= 1.
        limit: Most questions, >= 1.
        cancel: Stops between two tokens; what was asked until then is told.

    Raises:
        InputError: If a kind is unknown or a question cannot be asked.
    """
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise InputError(f"Unknown kind {unknown[0]!r}: expected one of {', '.join(KINDS)}.")
    settings = replace(settings or session.defaults, max_new_tokens=ANSWER_TOKENS)
    counts, asked, found = Counter(), 0, None
    questions = relational(seed, context)
    while found is None and asked < limit:
        part = [next(questions) for _ in range(min(batch, limit - asked))]
        asking = [item.as_question for item in part]
        try:
            traces = session.ask_batch(asking, [BASELINE, method], settings, cancel)
        except Cancelled:
            return SearchResult(asked, dict(counts), None, part[0].scene.seed, cancelled=True)
        asked += len(part)
        for item, before, after in zip(part, traces[BASELINE], traces[method], strict=True):
            if before.answer == after.answer:
                continue
            kind = kind_of(before.answer, after.answer, item.question.answer)
            counts[kind] += 1
            if found is None and kind in kinds:
                found = ChangedAnswer(item, kind, {BASELINE: before.answer, method: after.answer})
        seed = part[-1].scene.seed + 1
    return SearchResult(asked, dict(counts), found, seed)


def kind_of(before: str, after: str, truth: str) -> str:
    """What a change from one answer to another is, one of `KINDS`."""
    was_right, is_right = is_correct(before, truth), is_correct(after, truth)
    if was_right == is_right:
        return OTHER
    return FIXED if is_right else BROKEN


def relational(seed: int, context: str = "") -> Iterator[BenchItem]:
    """Relational questions about test scenes, `PER_SCENE` per scene at most, without end.

    Args:
        seed: Of the first scene.
        context: Unrelated text before every question.
    """
    weights = {family: float(family in RELATIONAL) for family in GROUP_OF}
    while True:
        scene = draw_scene(seed)
        for question in ask_scene(scene, seed, PER_SCENE, weights):
            yield BenchItem(scene, question, context, question.boxes_on(scene))
        seed += 1


@dataclass(frozen=True)
class ChangeRate:
    """How often a method changed an answer in a benchmark.

    Attributes:
        asked: Questions of all families.
        fixed: Wrong before, right with the method.
        broken: Right before, wrong with the method.
        relational: Relational questions among them.
        relational_gain: Of these, fixed less broken.
    """

    asked: int
    fixed: int
    broken: int
    relational: int
    relational_gain: int


def results_without_text(path: str | Path) -> dict[str, Any] | None:
    """The part of a file of ``vif bench`` that has no text before its questions.

    Returns:
        None if there is no such file or no such part.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
        (entry,) = [e for e in entries if e["text"] == 0 and e["methods"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry


def read_rate(path: str | Path, method: str = "vif") -> ChangeRate | None:
    """The rate in a file that ``vif bench`` wrote, without text before the questions.

    Args:
        path: The file.
        method: Compared with the plain model.

    Returns:
        None if there is no such file or it says nothing about the method.
    """
    entry = results_without_text(path)
    if entry is None:
        return None
    try:
        found = entry["methods"][method]
        number = {name: int(found["family_n"].get(name, 0)) for name in RELATIONAL}
        gain = sum(found["family_difference"][name] * n for name, n in number.items() if n)
        whole = (int(entry["n"]), int(found["fixed"]), int(found["broken"]))
        return ChangeRate(*whole, sum(number.values()), round(gain))
    except (OSError, ValueError, KeyError, TypeError):
        return None
