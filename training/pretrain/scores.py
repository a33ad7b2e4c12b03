"""Which packed questions were answered right, by family and group."""

from __future__ import annotations

from collections import defaultdict

import torch

from training.pretrain.packing import FAMILY_NAMES
from vif.scenes import GROUP_OF


def is_correct(
    batch: dict[str, torch.Tensor], logits: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Whether every answer token is the most likely one, (B, M) bool.

    With all earlier tokens right, this is whether greedy decoding gives the answer.
    """
    right = torch.ones_like(batch["family"], dtype=torch.bool)
    row, column = torch.nonzero(batch["labels"][:, 1:] >= 0, as_tuple=True)
    wrong = logits.argmax(-1) != labels
    right[row[wrong], batch["block"][:, 1:][row, column][wrong] - 1] = False
    return right


def collect(found: dict[str, list[bool]], family: torch.Tensor, right: torch.Tensor) -> None:
    """Sorts outcomes (B, M) by family; -1 is left out."""
    for index, ok in zip(family.flatten().tolist(), right.flatten().tolist(), strict=True):
        if index >= 0:
            found[FAMILY_NAMES[index]].append(ok)


def averages(found: dict[str, list[bool]]) -> dict[str, float]:
    """Means in all, by group and by family."""
    groups = defaultdict(list)
    for family, outcomes in found.items():
        groups["all"] += outcomes
        groups[GROUP_OF[family]] += outcomes
    both = dict(sorted(groups.items())) | dict(sorted(found.items()))
    return {name: round(sum(v) / len(v), 3) for name, v in both.items()}
