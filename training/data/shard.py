"""One batch of a training step: images, the rows after them, and their questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from training.data.records import Turn


@dataclass(frozen=True, eq=False)
class Shard:
    """B images with R rows of up to T tokens, and Q = B * M places for up to M questions each.

    Attributes:
        head: The images' tokens, padded on the left to P, and their pixels.
        columns: Positions of image tokens in `head`, (B, N).
        centres: Of these tokens, (B, N, 2), in [0, 1] image coordinates.
        ids: Tokens of the rows, (R, T).
        part: What every token is, (R, T).
        turn: Which turn of its row a token belongs to, (R, T); -1 for none.
        labels: Tokens to predict, (R, T); `IGNORE` elsewhere.
        length: Tokens of every row, (R,).
        image: Which image a row belongs to, (R,).
        question: Where a row's turns are among Q, (R, turns).
        row: Which row a question is in, (Q,); -1 where there is no question.
        read: Positions in its row that a question's latent reads, (Q, L).
        is_question: Which of them are the question's own, (Q, L) bool.
        is_answer: Which of them are its answer's, (Q, L) bool.
        target: True boxes as a map, (Q, N).
        key: A number of its own for every question, (Q,).
        turns: The question at every place, Q entries; None where there is no question.
        counts: What there is of everything that is counted, (5,); see `training.data.batches`.
        evidence: What answers say about places, (Q, N); None without a teacher.
        taught: Which questions have evidence, (Q,) bool; None without a teacher.
    """

    head: dict[str, torch.Tensor]
    columns: torch.Tensor
    centres: torch.Tensor
    ids: torch.Tensor
    part: torch.Tensor
    turn: torch.Tensor
    labels: torch.Tensor
    length: torch.Tensor
    image: torch.Tensor
    question: torch.Tensor
    row: torch.Tensor
    read: torch.Tensor
    is_question: torch.Tensor
    is_answer: torch.Tensor
    target: torch.Tensor
    key: torch.Tensor
    turns: list[Turn | None]
    counts: torch.Tensor
    evidence: torch.Tensor | None = None
    taught: torch.Tensor | None = None

    def to(self, device: torch.device, non_blocking: bool = False) -> Shard:
        """The same on another device; accelerate calls it for every batch."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Shard:
        """The same in pinned memory; PyTorch's DataLoader calls it."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, move: Callable[[torch.Tensor], torch.Tensor]) -> Shard:
        moved: dict[str, Any] = {"head": {name: move(part) for name, part in self.head.items()}}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, torch.Tensor):
                moved[field.name] = move(value)
        return replace(self, **moved)
