"""The likelihood of a given text under a method, by forced decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from typing_extensions import override

from vif.methods.base import Method, Request
from vif.recording import Recorder


class Forced(Method):
    """A method whose answers are given, one per prompt of a batch.

    What it would have chosen is kept beside what it has to say, after every edit of its own.

    Attributes:
        scores: By step, log-probabilities of all tokens, (B, V).
    """

    def __init__(self, method: Method, targets: Sequence[Sequence[int]]) -> None:
        self.inner = method
        self.name, self.summary, self.options = method.name, method.summary, method.options
        self.targets = targets
        self.scores: list[torch.Tensor] = []

    @override
    def tap(self, request: Request) -> Recorder:
        """The method's own tap, its choice of tokens overruled."""
        tap = self.inner.tap(request)
        tap.guide = self.forcing(tap.guide)
        return tap

    def forcing(
        self, guide: Callable[[torch.Tensor], torch.Tensor]
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """A tap's guide with its choice overruled; it keeps what would have been chosen."""

        def force(logits: torch.Tensor) -> torch.Tensor:
            scores = guide(logits).log_softmax(-1)
            step = len(self.scores)
            self.scores.append(scores.cpu())
            forced = torch.full_like(scores, float("-inf"))
            for i, target in enumerate(self.targets):
                forced[i, target[min(step, len(target) - 1)]] = 0
            return forced

        return force

    def outcomes(self) -> list[tuple[float, bool]]:
        """Per prompt the log-probability of its target, and whether it was the likeliest."""
        found = []
        for i, target in enumerate(self.targets):
            steps = [(self.scores[step][i], token) for step, token in enumerate(target)]
            total = sum(float(scores[token]) for scores, token in steps)
            found.append((total, all(int(scores.argmax()) == token for scores, token in steps)))
        return found

    def liked(self) -> list[list[int]]:
        """Per prompt the likeliest token of every step, up to the first that is not its target."""
        found = []
        for i, target in enumerate(self.targets):
            best = [int(self.scores[step][i].argmax()) for step in range(len(target))]
            wrong = [k for k, token in enumerate(best) if token != target[k]]
            found.append(best[: wrong[0] + 1] if wrong else best)
        return found
