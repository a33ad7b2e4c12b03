"""Asks the benchmark's questions with every method in turn, then with the controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vif import methods as registry
from vif.bench.controls import CONTROLS, MatchedControl, gives_more_image, matched_strength
from vif.bench.outcomes import Outcome, by_group, by_pointing, outcome, summary
from vif.bench.questions import BenchItem
from vif.errors import InputError
from vif.measure.processes import Processes
from vif.methods import Method
from vif.progress import Progress
from vif.session import Session
from vif.settings import Settings

BATCH_SIZE = 40
ANSWER_TOKENS = 5
BASELINE = "plain"


def supported(
    session: Session, questions: Sequence[BenchItem], methods: Sequence[str], settings: Settings
) -> tuple[list[str], dict[str, str]]:
    """Tests which methods can answer, by asking two questions with each.

    Args:
        session: Model and adapter.
        questions: One at least.
        methods: Names.
        settings: What the questions will be asked with.

    Returns:
        The names that can, and for every other name the reason why it cannot.
    """
    settings = replace(settings, max_new_tokens=1)
    able, reasons = [], {}
    for name in methods:
        try:
            session.ask_batch([item.as_question for item in questions[:2]], [name], settings)
        except InputError as error:
            reasons[name] = str(error)
        else:
            able.append(name)
    return able, reasons


def run(
    session: Session,
    questions: Sequence[BenchItem],
    methods: Sequence[str],
    settings: Settings | None = None,
    progress: Progress | None = None,
    processes: Processes | None = None,
) -> dict[str, dict[str, Any]]:
    """Asks every question with every method.

    The methods take turns, batch by batch, so that whatever else the machine does slows all alike.

    Args:
        session: Model and adapter.
        questions: Of `items`.
        methods: Names; the first is the baseline that the others are compared with.
        settings: The session's defaults if None.
        progress: Called with (questions done, questions in all).
        processes: Which of several that share the questions this one is; all get the results.

    Returns:
        Per method what `summary` returns; ``by_pointing``, see there; and ``cost``: ``seconds`` per
        answer, their ``ratio`` to the baseline's (median over batches), and as declared
        ``extra_passes`` over the prompt and ``branches`` per generated token. Seconds leave out
        encoding the image, which is done once for all methods.
    """
    outcomes = _answers(session, questions, methods, settings, progress, processes)
    base = outcomes[methods[0]]
    results = {}
    for name, found in outcomes.items():
        method = registry.find(name)
        passes = {
            "extra_passes": method.passes(session.adapter is not None),
            "branches": method.branches,
        }
        results[name] = summary(found, base, questions) | {
            "by_pointing": by_pointing(found, outcomes, questions),
            "cost": _times(found, base) | passes,
        }
    return results


def run_controls(
    session: Session,
    questions: Sequence[BenchItem],
    found: dict[str, dict[str, Any]],
    methods: Sequence[str],
    settings: Settings | None = None,
    progress: Progress | None = None,
    processes: Processes | None = None,
) -> dict[str, dict[str, Any]]:
    """Asks the same questions by the controls at matched visual mass; see `vif.bench.controls`.

    The match is by mean share of the row that predicts the first token. A layer depends on those
    below it, so the share a control reaches is near the method's, not equal; it is in ``share``.

    Args:
        session: As in `run`.
        questions: Those of `run`.
        found: What `run` returned, the baseline first.
        methods: Whose controls.
        settings: Those of `run`.
        progress: As in `run`.
        processes: As in `run`.

    Returns:
        Per method that gives the image more in all: ``strength`` by layer, and for ``uniform`` and
        ``random`` what `summary` returns, plus ``beyond`` and ``beyond_interval``: accuracy of the
        method less that of the control, by group, paired.
    """
    base_name = next(iter(found))
    plain = found[base_name]["share"]
    strengths = {
        name: matched_strength(found[name]["share"], plain)
        for name in methods
        if gives_more_image(found[name]["share"], plain)
    }
    if not strengths:
        return {}
    matched = [
        MatchedControl(name, control, strength)
        for name, strength in strengths.items()
        for control in CONTROLS
    ]
    asked = [base_name, *matched]
    outcomes = _answers(session, questions, asked, settings, progress, processes)
    base = outcomes.pop(base_name)
    results: dict[str, dict[str, Any]] = {}
    for name, strength in strengths.items():
        results[name] = {"strength": [round(float(s), 5) for s in strength]}
        for control in CONTROLS:
            answers = outcomes[f"{name}/{control}"]
            gain = _right(found[name]) - np.array([float(o.right) for o in answers])
            beyond, spans = by_group(gain, questions)
            results[name][control] = summary(answers, base, questions) | {
                "beyond": beyond,
                "beyond_interval": spans,
            }
    return results


def _right(found: dict[str, Any]) -> np.ndarray:
    return np.array([float(value) for value in found["right"]])


def _answers(
    session: Session,
    questions: Sequence[BenchItem],
    methods: Sequence[str | Method],
    settings: Settings | None,
    progress: Progress | None,
    processes: Processes | None,
) -> dict[str, list[Outcome]]:
    settings = replace(settings or session.defaults, max_new_tokens=ANSWER_TOKENS)
    processes = processes or Processes()
    starts = range(0, len(questions), BATCH_SIZE)
    found: dict[int, dict[str, list[Outcome]]] = {}
    for start in (start for i, start in enumerate(starts) if processes.mine(i)):
        part = questions[start : start + BATCH_SIZE]
        answered = session.ask_batch([item.as_question for item in part], methods, settings)
        found[start] = {
            name: [outcome(trace, item) for trace, item in zip(traces, part, strict=True)]
            for name, traces in answered.items()
        }
        if progress is not None:
            progress(min(start + BATCH_SIZE, len(questions)), len(questions))
    found = processes.gather(found)
    return {name: [one for start in starts for one in found[start][name]] for name in found[0]}


def _times(found: Sequence[Outcome], base: Sequence[Outcome]) -> dict[str, Any]:
    ratios = [ours / theirs for ours, theirs in zip(_seconds(found), _seconds(base), strict=True)]
    return {
        "seconds": round(float(np.mean([o.seconds for o in found])), 5),
        "ratio": round(float(np.median(ratios)), 3),
    }


def _seconds(found: Sequence[Outcome]) -> Iterator[float]:
    """Per answer, batch by batch."""
    for start in range(0, len(found), BATCH_SIZE):
        yield float(np.mean([o.seconds for o in found[start : start + BATCH_SIZE]])) + 1e-9
