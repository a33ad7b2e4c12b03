"""Probes of the shown answers: their inputs, and their results as text and figure."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

from plotly import graph_objects as go

from vif.charts.style import method_label
from vif.probes import PROBES, Sweep
from vif.probes.protocol import ProbeCall
from vif.progress import Progress
from vif.settings import Settings
from vif.ui.state.result import CHANGED, Result


@dataclass(frozen=True, eq=False)
class ProbeOutput:
    """The result of a probe, as text and figure.

    Attributes:
        words: One to three sentences; plain text.
        figure: A chart, or None for a sweep.
        sweep: A sweep, or None.
    """

    words: str
    figure: go.Figure | None = None
    sweep: Sweep | None = None


def call_of(
    session: Any,
    result: Result,
    of: str,
    tracked: str = "",
    *,
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> ProbeCall:
    """The call of a probe for the answers on the page.

    Args:
        session: The model.
        result: The answers it is about.
        of: Name of the answer whose map is probed.
        tracked: The answer whose probability is tracked; the probe's own choice if empty.
        cancel: Stops it.
        progress: Told (variants done, variants in all).

    Raises:
        InputError: If another model gave the answers.
    """
    result.check_answered_by(session.name)
    form, truth = result.filled, result.truth
    boxes = truth.boxes if truth is not None else None
    right = truth.answer if truth is not None else ""
    question = form.about(boxes=boxes, answer=right)
    given = form.settings()
    given.pop("context")
    method = of
    if of == CHANGED:
        method = "look"
        question = replace(question, look=result.traces[CHANGED].mixtures[0].map)
    elif of == "look":
        question = replace(question, look=form.drawing.place())
    return ProbeCall(
        session,
        question.opened(),
        method,
        result.traces[of],
        f"{method_label(of)}'s map",
        Settings(**given, options=form.options()),
        {"answer": tracked.strip() or None},
        cancel=cancel,
        progress=progress,
    )


def run_probe(
    session: Any,
    kind: str,
    result: Result,
    of: str,
    tracked: str = "",
    *,
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> ProbeOutput:
    """Carries out a probe of `PROBES`; see `call_of` for what it takes.

    Raises:
        InputError: What was given cannot be probed.
        Cancelled: If it was stopped.
    """
    probe = PROBES[kind]
    call = call_of(session, result, of, tracked, cancel=cancel, progress=progress)
    found = probe.run(call)
    if isinstance(found, Sweep):
        return ProbeOutput(probe.words(found, call), sweep=found)
    return ProbeOutput(probe.words(found, call), probe.figure(found, call))
