"""The answers that a model considers most likely."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from typing_extensions import override

from vif.methods import Method, Request
from vif.question import Question
from vif.recording import Recorder
from vif.session import Session

MOST_ANSWERS = 3
# The longest of them.
ANSWER_TOKENS = 8


def likeliest_answers(
    session: Session,
    question: Question,
    number: int = MOST_ANSWERS,
    *,
    cancel: threading.Event | None = None,
) -> list[str]:
    """The plain model's answers that begin with its likeliest first tokens, the best first.

    Args:
        session: The model.
        question: The question.
        number: How many, >= 1; fewer if some turn out to be the same or empty.
        cancel: Stops between two tokens.
    """
    settings = replace(session.defaults, max_new_tokens=ANSWER_TOKENS)
    special = session.backbone.processor.tokenizer.all_special_ids
    asked = [question] * number
    (traces,) = session.ask_batch(asked, [_Ranked(special)], settings, cancel).values()
    return list(dict.fromkeys(trace.answer for trace in traces if trace.answer))


class _Ranked(Method):
    """Prompt i of a batch starts with its i-th likeliest token and continues greedily."""

    name, summary = "ranked", "Begins with its i-th likeliest token."

    def __init__(self, special: Sequence[int]) -> None:
        self.special = list(special)

    @override
    def tap(self, request: Request) -> Recorder:
        tap = Recorder(request.batch)
        tap.guide = self._guide(iter([True]))
        return tap

    def _guide(self, first: Iterator[bool]) -> Callable[[torch.Tensor], torch.Tensor]:
        def begin(logits: torch.Tensor) -> torch.Tensor:
            if not next(first, False):
                return logits
            logits = logits.index_fill(1, torch.tensor(self.special), float("-inf"))
            row = torch.arange(len(logits))
            best = logits.argsort(descending=True)[row, row]
            return torch.full_like(logits, float("-inf")).scatter(1, best[:, None], 0.0)

        return begin
