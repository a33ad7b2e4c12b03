"""What recording, steering, comparing and sweeping cost, as ratios measured in one run.

Seconds depend on the machine and on what else it does; ratios of cases that take turns do not.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vif import methods as registry
from vif.errors import InputError
from vif.model import attention
from vif.model.attention import Tap
from vif.model.backbone import Backbone
from vif.model.generation import generate
from vif.probes.base import Result
from vif.probes.prefix import Progress
from vif.probes.sweep import sweep
from vif.question import Question
from vif.recording import Recorder
from vif.session import Session

PLAIN, ANSWER = "plain SDPA", "one answer"


@dataclass(frozen=True)
class Ratio(Result):
    """One case against another.

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


def widened(session: Session, seed: int = 0) -> Session:
    """A random model like a small LLaVA's, but wide enough that its layers do most of the work.

    Width 512, 16 heads, 24 x 24 image tokens; depth, vocabulary and processor stay. In the bundled
    model itself a layer takes so little time that every further operation shows.

    Raises:
        InputError: If the model is no LLaVA with a square grid.
    """
    backbone = session.backbone
    if backbone.model.config.model_type != "llava":
        raise InputError(f"{session.name} is no LLaVA: leave --wide out and it is timed itself.")
    config, processor = copy.deepcopy(backbone.model.config), copy.deepcopy(backbone.processor)
    text, vision, heads = config.text_config, config.vision_config, 16
    text.hidden_size, text.intermediate_size, text.head_dim = 512, 1408, 32
    text.num_attention_heads = text.num_key_value_heads = heads
    vision.image_size = 24 * vision.patch_size
    config.image_seq_length = 24 * 24
    processor.image_processor.size = {"height": vision.image_size, "width": vision.image_size}
    torch.manual_seed(seed)
    model = type(backbone.model)(config)
    model.generation_config = copy.deepcopy(backbone.model.generation_config)
    # A random model may write the image token, which the next pass would take for an image.
    model.generation_config.suppress_tokens = [config.image_token_id]
    return Session(Backbone(model, processor, f"random model of width {text.hidden_size}"))


def measure(
    session: Session,
    question: Question,
    methods: Sequence[str] = ("plain", "vif", "uniform", "random"),
    repetitions: int = 9,
    tokens: int = 8,
    progress: Progress | None = None,
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
    """
    cases = _cases(session, question.opened(), methods, tokens)
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
    session: Session, question: Question, methods: Sequence[str], tokens: int
) -> dict[str, tuple[str, Callable[[], object]]]:
    """Every case by name: what it is divided by, and what is timed."""
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
    return {
        PLAIN: (PLAIN, stock("sdpa")),
        "our loop, nothing recorded": (PLAIN, ours(Tap)),
        "recorded": (PLAIN, ours(lambda: Recorder(request.batch))),
        "recorded and steered by VIF": (PLAIN, ours(lambda: registry.find(vif).tap(request))),
        "eager with output_attentions": (PLAIN, stock("eager", **weights)),
        ANSWER: (ANSWER, ask(["plain"])),
        f"{len(methods)} methods compared": (ANSWER, ask(methods)),
        f"sweep of {layers * (layers + 1) // 2} injection ranges": (
            ANSWER,
            lambda: sweep(session, question, method=vif),
        ),
    }


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
