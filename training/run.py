"""Shared by all trainings: processes, optimisers, and a run that can be resumed."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from transformers import get_cosine_schedule_with_warmup


def join_processes() -> tuple[int, int]:
    """Rank and number of processes under torchrun; (0, 1) without it.

    Two processes of one thread each train about half as fast again as one of two threads: a model
    this small spends much of its time where threads do not help.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")
    return int(os.environ.get("RANK", "0")), count


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Averages gradients over processes; does nothing for a single one."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


class Optimisers:
    """Muon for matrices, AdamW for embeddings, norms and biases; warm-up, then cosine to 0.

    Args:
        model: Frozen parameters are left out.
        steps: Length of the schedule.
        learning_rate: Muon's.
        adam_learning_rate: AdamW's.
        scales: Factor on both for parameters whose name contains the key.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        learning_rate: float,
        adam_learning_rate: float,
        scales: dict[str, float] | None = None,
    ) -> None:
        matrices, rest = defaultdict(list), defaultdict(list)
        for name, parameter in model.named_parameters():
            scale = next((s for part, s in (scales or {}).items() if part in name), 1.0)
            is_table = "embed" in name or "head.head" in name
            if not parameter.requires_grad:
                continue
            target = matrices if parameter.ndim == 2 and not is_table else rest
            target[scale].append(parameter)
        self.parts = [
            torch.optim.Muon(
                [{"params": p, "lr": learning_rate * k} for k, p in matrices.items()],
                lr=learning_rate,
                weight_decay=0.02,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [{"params": p, "lr": adam_learning_rate * k} for k, p in rest.items()],
                lr=adam_learning_rate,
                weight_decay=0.0,
                betas=(0.9, 0.98),
            ),
        ]
        warmup = max(1, min(150, steps // 10))
        self.schedules = [
            get_cosine_schedule_with_warmup(part, warmup, steps) for part in self.parts
        ]
        self.parameters = [p for group in (matrices, rest) for ps in group.values() for p in ps]

    def step(self) -> None:
        """One clipped step of both on the gradients of all processes, then the schedules."""
        average_gradients(self.parameters)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part, schedule in zip(self.parts, self.schedules, strict=True):
            part.step()
            schedule.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        """State of every optimiser and schedule."""
        return [item.state_dict() for item in (*self.parts, *self.schedules)]

    def load_state_dict(self, states: list[dict]) -> None:
        """Restores all optimisers from `state_dict`."""
        for item, state in zip((*self.parts, *self.schedules), states, strict=True):
            item.load_state_dict(state)


class Run:
    """A resumable run of one stage: batches in, logged losses out, a checkpoint now and then."""

    def __init__(self, folder: Path, stage: str, model: nn.Module, optimisers: Optimisers) -> None:
        self.path = folder / f"{stage}.pt"
        self.log_path = folder / "log.jsonl"
        self.stage, self.model, self.optimisers = stage, model, optimisers
        self.step = 0
        self.is_first = join_processes()[0] == 0
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            model.load_state_dict(state["model"])
            optimisers.load_state_dict(state["optimisers"])
            self.step = state["step"]

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all; the first process does."""
        if not self.is_first:
            return
        partial = self.path.with_suffix(".partial")
        state = {
            "model": self.model.state_dict(),
            "optimisers": self.optimisers.state_dict(),
            "step": self.step,
        }
        torch.save(state, partial)
        partial.replace(self.path)

    def log(self, **values: object) -> None:
        """Prints a line and appends it to the log; the first process does."""
        if not self.is_first:
            return
        line = {"stage": self.stage, "step": self.step, **values}
        print(json.dumps(line), flush=True)
        with self.log_path.open("a") as file:
            file.write(json.dumps(line) + "\n")
