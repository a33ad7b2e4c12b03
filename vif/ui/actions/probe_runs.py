"""Probes of the shown answers: which there are, how each is run, and what it found in words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from plotly import graph_objects as go

from vif import probes
from vif.draw import probe_charts
from vif.draw.charts import method_label
from vif.errors import InputError
from vif.probes.sweep import Sweep, sweep
from vif.question import Question
from vif.settings import Settings
from vif.trace import Trace
from vif.ui.html.words import percent, visible_token
from vif.ui.state.result import CHANGED, Result

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Call:
    """One request to probe.

    Attributes:
        session: The model.
        result: The answers it is about.
        of: Name of the answer whose map is probed.
        cancel: Stops it.
        progress: Told (variants done, variants in all).
    """

    session: Any
    result: Result
    of: str
    cancel: threading.Event
    progress: Progress

    @property
    def question(self) -> Question:
        """What was asked, and where its answer lies if that is known."""
        form, truth = self.result.filled, self.result.truth
        boxes = truth.boxes if truth is not None else None
        return Question(form.picture, form.question, form.context or "", boxes).opened()

    @property
    def shared(self) -> dict[str, Any]:
        """What all probes take."""
        return {"cancel": self.cancel, "progress": self.progress}


@dataclass(frozen=True, eq=False)
class Found:
    """What a probe found.

    Attributes:
        words: One or two sentences; plain text.
        figure: A chart, or None for a sweep.
        sweep: A sweep, or None.
    """

    words: str
    figure: go.Figure | None = None
    sweep: Sweep | None = None


@dataclass(frozen=True)
class Probe:
    """One kind of probe.

    Attributes:
        label: Its name for people.
        does: What it does and costs, one sentence.
        run: Carries it out.
        needs_map: Whether it is about the map of one answer.
    """

    label: str
    does: str
    run: Callable[[Call], Found]
    needs_map: bool = False


def _knockout(call: Call) -> Found:
    found = probes.knockout(call.session, call.question, **call.shared)
    # Cutting the question itself always hurts, and tells nothing about the image.
    seen = [i for i, flow in enumerate(found.flows) if not flow.startswith("question")]
    flow, place = np.unravel_index(
        int(np.argmin(found.change[seen])), (len(seen), len(found.spans))
    )
    name = found.flows[seen[flow]].replace("->", " → ")
    change = _signed(found.change[seen[flow], place], 0)
    words = (
        f"Watched: “{visible_token(found.token)}”, probability {found.probability:.2f}. Of what "
        f"comes from the image, cutting {name} in {_layers(*found.spans[place])} hurts most: "
        f"{change} %."
    )
    return Found(words, probe_charts.knockout(found.flows, found.change, found.spans))


def _exit(call: Call) -> Found:
    found = probes.exit_sweep(call.session, call.question, **call.shared)
    needed = (
        "The answer is the same without the image."
        if found.first < 0
        else f"After layer {found.first} the image is no longer needed for it."
    )
    figure = probe_charts.exit_sweep(
        found.after, found.kl, found.probability, found.same, found.first
    )
    return Found(f"Watched: “{found.answer}”. {needed}", figure)


def _deletion(call: Call) -> Found:
    weights = probes.map_of(_read_whole(call))
    found = probes.deletion_curve(call.session, call.question, weights, **call.shared)
    name = f"{method_label(call.of)}'s map"
    by_chance = float(found.areas.max())
    verdict = (
        "so it marks what the answer needs"
        if found.area > max(by_chance, 0)
        else "so it marks the answer no better than chance"
    )
    words = (
        f"Watched: “{found.answer}”. Hiding what {name} marks costs {_signed(found.area, 3)} of "
        "probability more than hiding random tokens (area between the curves; random orders reach "
        f"{_signed(by_chance, 3)}), {verdict}."
    )
    return Found(words, probe_charts.deletion(found.shares, found.top, found.random, name))


def _read_whole(call: Call) -> Trace:
    """The answer that is probed.

    Raises:
        InputError: If it read other tokens than those of the full picture, which are hidden.
    """
    trace = call.result.traces[call.of]
    asked = call.question
    prompt = call.session.backbone.encode(asked.picture, asked.text, asked.context)
    cells = prompt.layout.cells.astype(trace.cells.dtype)
    if not np.array_equal(trace.cells, cells, equal_nan=True):
        raise InputError(
            f"{method_label(call.of)} read a part of the picture, so its map does not fit the "
            "tokens that are hidden, those of the full picture: choose another answer."
        )
    return trace


def _heads(call: Call) -> Found:
    found = probes.head_divergence(call.session, call.question, **call.shared)
    layer, head = np.unravel_index(int(np.argmax(found.divergence)), found.divergence.shape)
    words = (
        f"Head {head} of layer {layer} moves most when the image is gone, by "
        f"{found.divergence[layer, head]:.2f}. T-VHD, the sum of the {found.top} largest per "
        f"layer: {found.total:.2f}."
    )
    return Found(words, probe_charts.head_divergence(found.divergence))


def _sweep(call: Call) -> Found:
    result, form = call.result, call.result.filled
    if call.of not in result.injecting:
        raise InputError(
            f"{method_label(call.of)} injects no map, so there is no range to sweep: choose an "
            "answer that does, such as VIF's."
        )
    method, question = call.of, call.question
    if call.of == CHANGED:
        method = "look"
        question = replace(question, look=result.traces[CHANGED].mixtures[0].map)
    elif call.of == "look":
        question = replace(question, look=form.drawing.place())
    given = form.settings()
    given.pop("context")
    settings = Settings(**given, options=form.options())
    answer = result.truth.answer if result.truth is not None else None
    found = sweep(
        call.session,
        question,
        method=method,
        answer=answer,
        settings=settings,
        cancel=call.cancel,
        progress=call.progress,
    )
    start, end = found.best
    whose = "the right answer" if answer is not None else "the model's own answer"
    words = (
        f"Watched: {whose}, “{found.answer}”, probability {percent(float(np.exp(found.plain)))} "
        f"without injection. Best: {_layers(start, end)}, {_signed(found.change[start, end])} in "
        f"log-probability.{_best_to_set(found)}"
    )
    return Found(words, sweep=found)


def _best_to_set(found: Sweep) -> str:
    """The best range that the settings allow, where that is another one."""
    first = found.learning[1] + 1
    if found.best[0] >= first or first >= len(found.change):
        return ""
    best = np.unravel_index(int(np.nanargmax(found.change[first:])), found.change[first:].shape)
    start, end = map(int, best)
    change = found.change[first + start, end]
    return f" Best that can be set: {_layers(first + start, end)}, {_signed(change)}."


def _signed(value: float, digits: int = 2) -> str:
    """A number with its sign, a true minus."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _layers(first: int, last: int) -> str:
    return f"layer {first}" if first == last else f"layers {first} to {last}"


PROBES = {
    "knockout": Probe(
        "Knockout",
        "Cuts who reads whom in a window of layers and watches the first token: through which "
        "layers does what is seen reach the answer?",
        _knockout,
    ),
    "exit": Probe(
        "Exit sweep",
        "Hides the image after each layer in turn: from where on is it no longer needed?",
        _exit,
    ),
    "deletion": Probe(
        "Deletion curve",
        "Hides the tokens that a map marks, and random ones against them: does the answer need "
        "what the map shows?",
        _deletion,
        needs_map=True,
    ),
    "heads": Probe(
        "Head divergence",
        "Compares what every head puts out with and without the image, in two passes.",
        _heads,
    ),
    "sweep": Probe(
        "Layer ranges",
        "Injects a map into every range of layers; click a range to take it into the settings.",
        _sweep,
        needs_map=True,
    ),
}


def run_probe(
    session: Any, kind: str, result: Result, of: str, *, cancel: threading.Event, progress: Progress
) -> Found:
    """Carries out a probe of `PROBES`; see `Call` for what it takes.

    Raises:
        InputError: What was given cannot be probed.
        Cancelled: If it was stopped.
    """
    return PROBES[kind].run(Call(session, result, of, cancel, progress))
