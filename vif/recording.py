"""Answers prompts under one method and records their traces.

`Recorder` is the tap that keeps what the row that predicts each token attended to, `run` answers a
batch under it and makes the traces.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vif.model.attention import Tap
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.model.generation import Generated, generate
from vif.model.prompt import ANSWER_PART, Prompt
from vif.trace import MASS_PARTS, Mixture, Trace


class Recorder(Tap):
    """Keeps, for every step and layer, how the predicting row spread its attention.

    Rows are buffered and split once per step, for all layers together.

    Attributes:
        mixtures: What a method injected, per prompt; filled by subclasses.
        notes: What else a method did, per prompt, as JSON values: the box it cropped, the share it
            cut; filled by subclasses, and found in every trace's ``meta["notes"]``.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._fresh: list[tuple[int, torch.Tensor, int]] = []
        self._seen: list[list[torch.Tensor | None]] = []
        self._shares: list[list[torch.Tensor | None]] = []
        self.mixtures: list[list[Mixture]] = [[] for _ in range(len(batch))]
        self.notes: list[dict[str, Any]] = [{} for _ in range(len(batch))]

    @override
    def begin(self, start: int, length: int) -> None:
        """Opens the record of a generation step."""
        self._settle()
        self._seen.append([None] * self.batch.num_layers)
        self._shares.append([None] * self.batch.num_layers)

    @property
    def rows(self) -> list[list[torch.Tensor | None]]:
        """By step and layer, (B, H, N) float32: attention to every image token.

        None for a layer that has recorded nothing, as one without attention.
        """
        self._settle()
        return self._seen

    @property
    def mass(self) -> list[list[torch.Tensor | None]]:
        """By step and layer, (B, H, 5) float32: share per `MASS_PARTS`; None as in `rows`."""
        self._settle()
        return self._shares

    @override
    def wants(self, layer: int) -> bool:
        """Returns True: every layer is recorded."""
        return True

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        """Keeps a row (B, H, K)."""
        self._fresh.append((layer, row, first_key))

    def _settle(self) -> None:
        """Splits the buffered rows into the image's columns and the share of every part."""
        fresh, self._fresh = self._fresh, []
        # Layers behind a sliding window hold fewer keys than the others.
        for place, group in groupby(fresh, lambda item: (item[2], item[1].shape[2])):
            layers, rows, _ = zip(*group, strict=True)
            stacked = torch.stack(rows)
            columns, one_hot = self._places(*place, stacked.device)
            seen = stacked.gather(3, columns.clamp_min(0).expand(*stacked.shape[:3], -1))
            seen = (seen * (columns >= 0)).cpu()
            shares = (stacked @ one_hot.to(stacked.dtype)).cpu()
            for i, layer in enumerate(layers):
                self._seen[-1][layer], self._shares[-1][layer] = seen[i], shares[i]

    def _places(
        self, first_key: int, keys: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Columns of image tokens, (B, 1, N), and parts of all keys as one-hot, (B, K, 5)."""
        columns = self.batch.columns.to(device)[:, None] - first_key
        parts = self.batch.parts.to(device)
        generated = first_key + keys - parts.shape[1]
        parts = torch.nn.functional.pad(parts, (0, generated), value=ANSWER_PART)
        return columns, torch.nn.functional.one_hot(parts[:, first_key:], len(MASS_PARTS))


def run(
    backbone: Backbone,
    tap: Recorder,
    method: str,
    max_new_tokens: int,
    meta: dict[str, Any],
    cancel: threading.Event | None = None,
) -> list[Trace]:
    """Answers a batch under one tap.

    Args:
        backbone: The model.
        tap: Records, and may edit.
        method: Name for the traces.
        max_new_tokens: Longest answer.
        meta: What to write into every trace's ``meta``.
        cancel: Stops between two tokens.

    Returns:
        One trace per prompt, in order.

    Raises:
        Cancelled: If `cancel` was set.
    """
    started = time.perf_counter()
    generated = generate(backbone.model, dict(tap.batch.inputs), tap, max_new_tokens, cancel)
    seconds = time.perf_counter() - started
    rows, mass = (_by_prompt(steps) for steps in (tap.rows, tap.mass))
    traces = []
    for i, prompt in enumerate(tap.batch.prompts):
        trace = _trace(backbone, generated, i, prompt)
        length = len(trace.tokens)
        extra = {
            "question": prompt.text,
            "context": prompt.context,
            "prompt_tokens": prompt.length,
            "seconds": round(seconds / len(tap.batch), 4),
            "layout": prompt.layout.describe(),
            "notes": tap.notes[i],
        }
        if prompt.others:
            extra |= {"images": len(prompt.others) + 1, "image": prompt.place}
            extra["other_image_tokens"] = len(prompt.other_tokens)
        traces.append(
            replace(
                trace,
                method=method,
                rows=rows[i, :length].numpy(),
                mass=mass[i, :length].numpy(),
                mixtures=tap.mixtures[i],
                meta=meta | extra,
            )
        )
    return traces


def _by_prompt(steps: list[list[torch.Tensor | None]]) -> torch.Tensor:
    """What every step and layer recorded, (B, T, L, H, ...); NaN where a layer recorded nothing."""
    known = next(found for found in steps[0] if found is not None)
    nothing = torch.full_like(known, torch.nan)
    filled = [[nothing if found is None else found for found in step] for step in steps]
    return torch.stack([torch.stack(step) for step in filled]).movedim(2, 0)


def _trace(backbone: Backbone, generated: Generated, i: int, prompt: Prompt) -> Trace:
    """The text side of a trace; attention is filled in by the caller."""
    length = int(generated.finished_at[i])
    ids = [int(step[i]) for step in generated.tokens[:length]]
    tokenizer = backbone.processor.tokenizer
    alternatives = [
        [
            (tokenizer.decode([int(token)]), float(probability))
            for token, probability in zip(top[i], probabilities[i], strict=True)
        ]
        for top, probabilities in generated.top[:length]
    ]
    empty = np.zeros((0,), np.float32)
    return Trace(
        method="",
        answer=tokenizer.decode(ids, skip_special_tokens=True).strip(),
        tokens=[tokenizer.decode([token]) for token in ids],
        logprobs=np.array([float(step[i]) for step in generated.logprobs[:length]], np.float32),
        rows=empty,
        mass=empty,
        centres=prompt.layout.centres.astype(np.float32),
        cells=prompt.layout.cells.astype(np.float32),
        blocks=prompt.layout.blocks,
        alternatives=alternatives,
    )
