"""Logit lens: the words that hidden states would give, layer by layer."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vif.errors import InputError
from vif.metrics import token_at
from vif.model.attention import Tap
from vif.model.generation import Cancelled, open_stream
from vif.model.vocabulary import read_words
from vif.probes.base import ProbeResult, open_prompt
from vif.probes.protocol import Probe, ProbeCall, ProbeFlag, charts, register
from vif.question import Question
from vif.session import Session

TOP = 5


@dataclass(frozen=True)
class LogitLens(ProbeResult):
    """What states would say if the model ended there. K words, likeliest first; L layers.

    Attributes:
        answer: The first word of the model's answer.
        words: Of the last row after every layer, (L, K) words.
        probabilities: Theirs, (L, K).
        rank: Of the answer's first word there, (L,); 0 is the likeliest.
        image_words: The likeliest word of every image token after every layer but the last,
            (L - 1, N) words.
        image_probabilities: Theirs, (L - 1, N).
        image_answer: Probability of the answer's first word at every image token, (L - 1, N).
    """

    answer: str
    words: list[list[str]]
    probabilities: np.ndarray
    rank: np.ndarray
    image_words: list[list[str]]
    image_probabilities: np.ndarray
    image_answer: np.ndarray


@dataclass(frozen=True)
class PatchLens(ProbeResult):
    """What one image token would say after every layer but the last. K words, likeliest first.

    Attributes:
        token: Which image token, from 0.
        words: (L - 1, K) words.
        probabilities: Theirs, (L - 1, K).
    """

    token: int
    words: list[list[str]]
    probabilities: np.ndarray


class _States(Tap):
    """Keeps the last row and the image tokens of every layer that reports."""

    def __init__(self, columns: torch.Tensor) -> None:
        self.columns = columns
        self.last: list[torch.Tensor] = []
        self.image: list[torch.Tensor] = []

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        self.last.append(states[0, -1])
        self.image.append(states[0, self.columns.to(states.device)])


def logit_lens(session: Session, question: Question, *, top: int = TOP) -> LogitLens:
    """Reads every layer's states as words, in one plain pass.

    The final norm and the output matrix on the state of any layer (nostalgebraist 2020); on image
    tokens as in arXiv 2410.07149. Early layers do not write in the output's terms, so that their
    words mean little.

    Args:
        session: The model.
        question: What is asked about which image.
        top: How many words of the last row, K >= 1.

    Raises:
        InputError: If the model's final norm is not known.
    """
    model = session.backbone.model
    reading = open_prompt(session, question)
    tap = _States(reading.batch.columns[0])
    final = open_stream(model, dict(reading.batch.inputs)).advance(tap).log_softmax(-1)[0]
    first = int(final.argmax())
    rows = torch.stack([*(read_words(model, state).to(final) for state in tap.last), final])
    best = rows.topk(min(top, rows.shape[-1]), -1)
    scores = [read_words(model, states).to(final) for states in tap.image]
    strongest = [layer.max(-1) for layer in scores]

    return LogitLens(
        answer=_words(session, final.argmax(-1, keepdim=True))[0],
        words=[_words(session, ids) for ids in best.indices],
        probabilities=best.values.exp().cpu().numpy(),
        rank=(rows > rows[:, first : first + 1]).sum(-1).cpu().numpy(),
        image_words=[_words(session, layer.indices) for layer in strongest],
        image_probabilities=torch.stack([layer.values for layer in strongest]).exp().cpu().numpy(),
        image_answer=torch.stack([layer[:, first] for layer in scores]).exp().cpu().numpy(),
    )


def patch_lens(
    session: Session,
    question: Question,
    place: tuple[float, float],
    *,
    top: int = TOP,
    cancel: threading.Event | None = None,
) -> PatchLens:
    """Reads the states of one image token as words, in one plain pass; see `logit_lens`.

    Args:
        session: The model.
        question: What is asked about which image. Tokens of the image that come before the
            question cannot see it: their words are the same whatever is asked.
        place: From the left and from the top, in [0, 1] of the picture; the finest token there.
        top: How many words, K >= 1.
        cancel: Set by another thread to stop.

    Raises:
        InputError: If no token lies there, or the model's final norm is not known.
        Cancelled: If `cancel` was set.
    """
    if cancel is not None and cancel.is_set():
        raise Cancelled
    model = session.backbone.model
    reading = open_prompt(session, question)
    token = token_at(reading.batch.prompts[0].layout.cells, place)
    if token is None:
        raise InputError("No image token lies at this place: the model never looks there.")
    tap = _States(reading.batch.columns[0, token : token + 1])
    open_stream(model, dict(reading.batch.inputs)).advance(tap)
    scores = torch.stack([read_words(model, states[0]) for states in tap.image])
    best = scores.topk(min(top, scores.shape[-1]), -1)
    words = [_words(session, ids) for ids in best.indices]
    return PatchLens(token, words, best.values.exp().cpu().numpy())


def _words(session: Session, ids: torch.Tensor) -> list[str]:
    return [session.backbone.processor.tokenizer.decode([i]) for i in ids.tolist()]


@register
class LensProbe(Probe[LogitLens]):
    """Reads the states of every layer as words."""

    name = "lens"
    label = "Logit lens"
    does = "Reads the states of every layer as words: where does the answer appear?"
    flags = (ProbeFlag("top", int, "words per layer", TOP),)

    @override
    def run(self, call: ProbeCall) -> LogitLens:
        top = self.option(call, "top")
        if top < 1:
            raise InputError(f"--top is {top}, expected at least 1.")
        return call.once(lambda: logit_lens(call.session, call.question, top=top))

    @override
    def words(self, found: LogitLens, call: ProbeCall) -> str:
        first = np.flatnonzero(found.rank == 0)
        where = f"first likeliest after layer {first[0]}" if len(first) else "never the likeliest"
        return f"The first word of the answer, “{found.answer}”, is {where}."

    @override
    def table(self, found: LogitLens, call: ProbeCall) -> str:
        lines = [f"first word of the answer: {found.answer!r}", "layer  rank  last row"]
        for layer, (words, shares) in enumerate(zip(found.words, found.probabilities, strict=True)):
            shown = ", ".join(f"{w!r} {p:.2f}" for w, p in zip(words, shares, strict=True))
            lines.append(f"{layer:>5}  {found.rank[layer]:>4}  {shown}")
        lines.append("layer  most frequent words of the image tokens, how many")
        for layer, words in enumerate(found.image_words):
            common = Counter(words).most_common(self.option(call, "top"))
            lines.append(f"{layer:>5}  " + ", ".join(f"{w!r} {n}" for w, n in common))
        return "\n".join(lines)

    @override
    def figure(self, found: LogitLens, call: ProbeCall) -> Any:
        return charts().lens(found.rank, found.words)
