"""Batches encoded conversations as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from training.data.encoding import ANSWER, IGNORE, OTHER, QUESTION, TrainingItem
from training.data.records import Turn
from training.data.shard import Shard
from vif.model.prompt import TEXT_INPUTS, join

MOST_QUESTIONS = 4096  # of one image; numbers them
# What a batch is counted by, over all processes: answer tokens, questions, questions with known
# boxes, tokens read, conversations.
TOKENS, QUESTIONS, BOXED, READ, ROWS = range(5)


class Collator:
    """Items to batches of shards; those of a shard have equally many image tokens."""

    def __init__(self, whole: bool) -> None:
        """With `whole`, every conversation gets its image for itself."""
        self.whole = whole

    def __call__(self, items: list[TrainingItem | None]) -> dict[str, Any]:
        """A batch: ``shards``, and ``counts`` (5,) of all of them."""
        shards: dict[int, list[TrainingItem]] = {}
        for item in items:
            if item is not None:
                parts = item.split() if self.whole else [item]
                shards.setdefault(len(item.columns), []).extend(parts)
        found = [make_shard(shard) for shard in shards.values()]
        counts = sum((shard.counts for shard in found), torch.zeros(5))
        return {"shards": found, "counts": counts}


def make_shard(items: list[TrainingItem]) -> Shard:
    """Items with equally many image tokens as one shard."""
    rows = _rows([row for item in items for row in item.rows])
    head = _join_heads(items)
    asked = _questions(items, rows["part"])
    longest = head["input_ids"].shape[1]
    pads = [longest - item.head["input_ids"].shape[1] for item in items]
    images = [i for i, item in enumerate(items) for _ in item.rows]
    read = head["attention_mask"].sum() + rows["length"].sum()
    known, boxed = asked["row"] >= 0, asked["target"].sum(1) > 0
    if not len(items[0].columns):  # Conversations without an image.
        known = torch.zeros_like(known)
    counts = [(rows["labels"] != IGNORE).sum(), known.sum(), boxed.sum(), read, len(images)]
    return Shard(
        **rows,
        **asked,
        head=head,
        columns=torch.stack([item.columns + pad for item, pad in zip(items, pads, strict=True)]),
        centres=torch.stack([item.centres for item in items]),
        image=torch.tensor(images),
        counts=torch.tensor([float(count) for count in counts]),
    )


def _rows(rows: list[Any]) -> dict[str, torch.Tensor]:
    longest = max(len(row.ids) for row in rows)
    fills = {"ids": 0, "part": OTHER, "turn": -1, "labels": IGNORE}
    out = {name: torch.full((len(rows), longest), fill) for name, fill in fills.items()}
    for r, row in enumerate(rows):
        labels = np.where(row.part == ANSWER, row.ids, IGNORE)
        values = {"ids": row.ids, "part": row.part, "turn": row.turn, "labels": labels}
        for name, value in values.items():
            out[name][r, : len(row.ids)] = torch.from_numpy(value)
    return out | {"length": torch.tensor([len(row.ids) for row in rows])}


def _questions(items: list[TrainingItem], part: torch.Tensor) -> dict[str, Any]:
    """Where questions are; `part` (R, T) as in `Shard`."""
    most = max(sum(len(row.turns) for row in item.rows) for item in items)
    total = len(items) * most
    deepest = max(len(row.turns) for item in items for row in item.rows)
    row_of = torch.full((total,), -1)
    place = torch.zeros(len(part), deepest, dtype=torch.long)
    target = torch.zeros(total, len(items[0].columns))
    key = torch.zeros(total, dtype=torch.long)
    turns: list[Turn | None] = [None] * total
    spans: list[np.ndarray] = [np.zeros(1, int)] * total
    r = 0
    for i, item in enumerate(items):
        q = i * most
        for row in item.rows:
            for k, turn in enumerate(row.turns):
                row_of[q], place[r, k], turns[q] = r, q, turn
                key[q] = item.key * MOST_QUESTIONS + row.first + k
                target[q] = torch.from_numpy(row.targets[k])
                spans[q] = np.flatnonzero((row.turn == k) & (row.part != OTHER))
                q += 1
            r += 1
    read = torch.zeros(total, max(map(len, spans)), dtype=torch.long)
    valid = torch.zeros_like(read, dtype=torch.bool)
    for q, span in enumerate(spans):
        read[q, : len(span)] = torch.from_numpy(span)
        valid[q, : len(span)] = row_of[q] >= 0
    kinds = part[row_of.clamp_min(0)[:, None], read]
    return {
        "row": row_of,
        "question": place,
        "read": read,
        "is_question": valid & (kinds == QUESTION),
        "is_answer": valid & (kinds == ANSWER),
        "target": target,
        "key": key,
        "turns": turns,
    }


def _join_heads(items: list[TrainingItem]) -> dict[str, torch.Tensor]:
    """Heads as one batch, tokens padded on the left, everything else at the end."""
    longest = max(item.head["input_ids"].shape[1] for item in items)
    out: dict[str, list[torch.Tensor]] = {}
    for item in items:
        for name, tensor in item.head.items():
            if name in TEXT_INPUTS:
                tensor = F.pad(tensor, (longest - tensor.shape[1], 0))
            out.setdefault(name, []).append(tensor)
    return {name: join(parts) for name, parts in out.items()}
