"""The cost of recording, steering, comparing and sweeping, as ratios measured in one run.

Seconds depend on the machine and on what else it does; ratios of cases that take turns do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vif import methods as registry
from vif.model import attention
from vif.model.attention import Tap
from vif.model.generation import generate
from vif.probes.base import ProbeResult
from vif.probes.sweep import sweep
from vif.progress import Progress
from vif.question import Question
from vif.recording import Recorder
from vif.session import Session

PLAIN, ANSWER = "plain SDPA", "one answer"
# What can be timed, by the name that chooses it; what it is divided by is timed as well.
CASES = ("loop", "recorded", "vif", "eager", "methods", "sweep")


@dataclass(frozen=True)
class Ratio(ProbeResult):
    """How much longer one case takes than another.

    Attributes:
        case: What was timed.
        base: What it is divided by.
        ratio: Median over repetitions of time / time of the base in the same repetition.
        low: Smallest of these ratios.
        high: Largest.
        seconds: Median time of the case.
    """

    case: str
    base: str
    ratio: float
    low: float
    high: float
    seconds: float


def measure(
    session: Session,
    question: Question,
    methods: Sequence[str] = ("plain", "vif", "uniform", "random"),
    repetitions: int = 9,
    tokens: int = 8,
    progress: Progress | None = None,
    chosen: Sequence[str] = CASES,
) -> list[Ratio]:
    """Times every case in turn, again and again.

    Not while others use the model: for the cases of transformers' own attention it is put in place
    of ours.

    Args:
        session: The model; without an adapter the training-free VIF stands in.
        question: What is asked; methods that need a place need its `boxes` or `look`.
        methods: Which to compare.
        repetitions: How often every case is timed, after one unmeasured turn.
        tokens: Generated tokens, exactly so many in the cases of plain SDPA, at most in the others.
        progress: Called with (repetitions done, repetitions in all).
        chosen: Which of `CASES` are timed.
    """
    cases = _cases(session, question.opened(), methods, tokens, chosen)
    times: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for turn in range(repetitions + 1):
        # Starting elsewhere every time, so that no case always follows the same one.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = time.perf_counter()
            cases[name][1]()
            _wait(session)
            if turn > 0:
                times[name].append(time.perf_counter() - started)
        if progress is not None and turn > 0:
            progress(turn, repetitions)
    found = []
    for name, (base, _) in cases.items():
        ratios = np.array(times[name]) / np.array(times[base])
        found.append(
            Ratio(
                name,
                base,
                float(np.median(ratios)),
                float(ratios.min()),
                float(ratios.max()),
                float(np.median(times[name])),
            )
        )
    return found


def table(found: Sequence[Ratio]) -> str:
    """The ratios as a plain-text table."""
    lines = [f"{'case':<44}{'times':>7}  {'range':<15}{'of':<14}{'seconds':>8}"]
    for one in found:
        span = f"{one.low:.2f} to {one.high:.2f}"
        lines.append(
            f"{one.case:<44}{one.ratio:>7.2f}  {span:<15}{one.base:<14}{one.seconds:>8.3f}"
        )
    return "\n".join(lines)


def _cases(
    session: Session,
    question: Question,
    methods: Sequence[str],
    tokens: int,
    chosen: Sequence[str],
) -> dict[str, tuple[str, Callable[[], object]]]:
    """The chosen cases by their label: the label of what each is divided by, and what is timed."""
    model = session.backbone.model
    vif = "vif" if session.adapter is not None else "vif-free"
    request = session.request([question], session.defaults)
    # Exactly so many tokens in every case, wherever a method would stop.
    inputs = request.batch.inputs | {"min_new_tokens": tokens}

    def stock(name: str, **options: Any) -> Callable[[], object]:
        def run() -> object:
            with _through(session, name):
                return model.generate(
                    **inputs, max_new_tokens=tokens, do_sample=False, num_beams=1, **options
                )

        return run

    def ours(make_tap: Callable[[], Tap]) -> Callable[[], object]:
        return lambda: generate(model, dict(inputs), make_tap(), tokens)

    def ask(names: Sequence[str]) -> Callable[[], object]:
        return lambda: session.ask(question, methods=names, max_new_tokens=tokens)

    weights = {"output_attentions": True, "return_dict_in_generate": True}
    layers = session.num_layers
    cases: dict[str, tuple[str, str, Callable[[], object]]] = {
        "loop": ("our loop, nothing recorded", PLAIN, ours(Tap)),
        "recorded": ("recorded", PLAIN, ours(lambda: Recorder(request.batch))),
        "vif": (
            "recorded and steered by VIF",
            PLAIN,
            ours(lambda: registry.find(vif).tap(request)),
        ),
        "eager": ("eager with output_attentions", PLAIN, stock("eager", **weights)),
        "methods": (f"{len(methods)} methods compared", ANSWER, ask(methods)),
        "sweep": (
            f"sweep of {layers * (layers + 1) // 2} injection ranges",
            ANSWER,
            lambda: sweep(session, question, method=vif),
        ),
    }
    bases = {PLAIN: stock("sdpa"), ANSWER: ask(["plain"])}
    wanted = [cases[name] for name in CASES if name in chosen]
    timed = {base: (base, run) for base, run in bases.items() if base in {w[1] for w in wanted}}
    return timed | {text: (base, run) for text, base, run in wanted}


@contextmanager
def _through(session: Session, name: str) -> Iterator[None]:
    """Sends the model through one of transformers' own attention functions."""
    attention.select(session.backbone.model, name)
    try:
        yield
    finally:
        attention.select(session.backbone.model, attention.NAME)


def _wait(session: Session) -> None:
    """A GPU works on after its calls have returned."""
    if session.backbone.device.type == "cuda":
        torch.cuda.synchronize(session.backbone.device)
