"""Attenuation ladder: one question after increasing lengths of unrelated text, all in one pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vif import methods as registry
from vif.errors import InputError
from vif.methods.forced import Forced
from vif.metrics import box_coverage, image_share, in_box_mass
from vif.probes.base import ProbeResult
from vif.question import Question
from vif.scenes import unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.session import Session
from vif.settings import Settings

LENGTHS = (0, 64, 128, 192, 256, 320, 384)
# A probability that rises by less than this from one length to a longer one counts as level.
SLACK = 0.05


@dataclass(frozen=True)
class Ladder(ProbeResult):
    """How an answer fares as text comes between image and question.

    M methods, R lengths, L layers. Attention is that of the row that predicts the first token of
    the answer, mean over heads.

    Attributes:
        answer: The tracked answer.
        methods: Names, M of them.
        lengths: Tokens of text before the question, (R,), ascending.
        probability: Of the tracked answer, (M, R), without an end token.
        said: What each would say, up to its first token that is not the answer's, M times R.
        share: Share of attention on the image, (M, R, L).
        in_box: Share of that in the true boxes, (M, R, L), NaN where no box is known.
    """

    answer: str
    methods: tuple[str, ...]
    lengths: np.ndarray
    probability: np.ndarray
    said: tuple[tuple[str, ...], ...]
    share: np.ndarray
    in_box: np.ndarray

    def falls(self, method: str, slack: float = SLACK) -> bool:
        """Whether probability and mean share on the image never rise with the length.

        Args:
            method: One of `methods`.
            slack: By how much either may exceed the least before it.
        """
        at = self.methods.index(method)
        return falls(self.probability[at], slack) and falls(self.share[at].mean(1), slack)


def falls(values: np.ndarray, slack: float = SLACK) -> bool:
    """Whether no value exceeds the least before it by more than some slack."""
    return bool((values <= np.minimum.accumulate(values) + slack).all())


def attenuation_ladder(
    session: Session,
    question: Question,
    methods: Sequence[str] = ("plain", "vif"),
    *,
    lengths: Sequence[int] = LENGTHS,
    text: Callable[[int], str] | None = None,
    settings: Settings | None = None,
    cancel: threading.Event | None = None,
) -> Ladder:
    """Asks one question at several lengths of text, padded to one batch.

    Args:
        session: Model and adapter.
        question: With the answer whose probability is tracked; its context is left out.
        methods: Names.
        lengths: Tokens of text, >= 0, ascending.
        text: From a length to the text; unrelated sentences by default.
        settings: The session's defaults if None.
        cancel: Stops between two tokens.

    Raises:
        InputError: If the answer has no tokens or anything given cannot be used.
        Cancelled: If `cancel` was set.
    """
    if not len(lengths) or list(lengths) != sorted(set(lengths)) or lengths[0] < 0:
        raise InputError(f"The lengths are {list(lengths)}, expected numbers from 0, ascending.")
    write = text or (lambda length: unrelated_text(SHOWN_TEXT_SEED, length))
    target = session.backbone.answer_ids(question.answer)
    question = question.opened()
    items = [replace(question, context=write(length)) for length in lengths]
    settings = replace(settings or session.defaults, max_new_tokens=len(target))
    forced = [Forced(registry.find(name), [target] * len(items)) for name in methods]
    traces = session.ask_batch(items, forced, settings, cancel)
    tokenizer = session.backbone.processor.tokenizer
    first = traces[methods[0]][0]
    covered = np.full(len(first.cells), np.nan)
    if question.boxes:
        covered = box_coverage(first.cells, question.boxes)
    return Ladder(
        answer=question.answer.strip(),
        methods=tuple(methods),
        lengths=np.array(lengths),
        probability=np.exp([[total for total, _ in method.outcomes()] for method in forced]),
        said=tuple(
            tuple(tokenizer.decode(ids).strip() for ids in method.liked()) for method in forced
        ),
        share=np.array([[image_share(t) for t in traces[name]] for name in methods]),
        in_box=np.array([[in_box_mass(t, covered) for t in traces[name]] for name in methods]),
    )
