"""Questions answered under one method, with everything the answer left behind.

`Batch` is several prompts as the model reads them at once, `Recorder` the tap that keeps what the
row that predicts each token attended to, `run` the two put together into traces.
"""

from __future__ import annotations

import inspect
import threading
import time
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vif.attention import Tap
from vif.backbone import ANSWER_PART, OTHER_PART, Backbone, Prompt
from vif.errors import InputError
from vif.generation import Generated, generate
from vif.trace import MASS_PARTS, Mixture, Trace


@dataclass(frozen=True)
class Batch:
    """B prompts padded on the left to S tokens.

    Attributes:
        prompts: The prompts.
        inputs: What ``generate`` takes; the image already encoded, shared by all methods.
        columns: Positions of the image tokens, (B, N).
        centres: Token centres, (B, N, 2), in [0, 1] image coordinates.
        question: The rows a latent reads: the question and what follows it, (B, S) bool.
        parts: What every position is, (B, S), an index into `MASS_PARTS`.
        first_row: First row after the image, (B,).
    """

    prompts: list[Prompt]
    inputs: dict[str, Any]
    columns: torch.Tensor
    centres: torch.Tensor
    question: torch.Tensor
    parts: torch.Tensor
    first_row: torch.Tensor

    def __len__(self) -> int:
        return len(self.prompts)

    @classmethod
    def make(cls, backbone: Backbone, prompts: list[Prompt], like: Batch | None = None) -> Batch:
        """Pads prompts and encodes their images, once for all methods.

        Args:
            backbone: The model.
            prompts: As many image tokens in each.
            like: Another batch about the same images, whose encoded images are shared.

        Raises:
            InputError: If prompts have different numbers of image tokens.
        """
        counts = {len(prompt.image) for prompt in prompts}
        if len(counts) > 1:
            raise InputError(
                f"Prompts with {sorted(counts)} image tokens cannot share a batch: ask one by one."
            )
        inputs = backbone.collate(prompts)
        length = inputs["input_ids"].shape[1]
        pads = [length - prompt.length for prompt in prompts]
        parts = torch.full((len(prompts), length), OTHER_PART)
        question = torch.zeros(len(prompts), length, dtype=torch.bool)
        for i, (prompt, pad) in enumerate(zip(prompts, pads, strict=True)):
            parts[i, pad:] = prompt.parts()
            question[i, pad + prompt.question.start :] = True
        columns = torch.stack([p.image + pad for p, pad in zip(prompts, pads, strict=True)])
        centres = np.stack([prompt.layout.centres for prompt in prompts])
        device = backbone.device
        return cls(
            prompts=prompts,
            inputs=_encode_images(backbone.model, inputs, like.inputs if like else {}),
            columns=columns.to(device),
            centres=torch.from_numpy(centres).float().to(device),
            question=question.to(device),
            parts=parts.to(device),
            first_row=columns.max(1).values.to(device) + 1,
        )


@torch.no_grad()
def _encode_images(model: Any, inputs: dict[str, Any], encoded: dict[str, Any]) -> dict[str, Any]:
    """Replaces pixels by image features, those in `encoded` if it has any, so that answers share.

    A model that cannot take features is given its pixels every time.
    """
    rest = {name: value for name, value in inputs.items() if name != "pixel_values"}
    if "mm_encoder_outputs" in encoded:
        return rest | {"mm_encoder_outputs": encoded["mm_encoder_outputs"]}
    encode = getattr(model.base_model, "get_image_features", None)
    takes_features = "mm_encoder_outputs" in inspect.signature(model.forward).parameters
    if encode is None or not takes_features:
        return inputs
    wanted = inspect.signature(encode).parameters
    visual = {name: value for name, value in inputs.items() if name in wanted}
    features = encode(**visual, return_dict=True)
    return rest | {"mm_encoder_outputs": {"image": features}}


class Recorder(Tap):
    """Keeps, for every step and layer, how the predicting row spread its attention.

    What a layer gives is only put aside; it is taken apart for all layers of a step at once.

    Attributes:
        mixtures: What a method injected, per prompt; filled by subclasses.
        notes: What else a method did, per prompt, as JSON values: the box it cropped, the share it
            cut; filled by subclasses, and found in every trace's ``meta["notes"]``.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._fresh: list[tuple[torch.Tensor, int]] = []
        self._seen: list[list[torch.Tensor]] = []
        self._shares: list[list[torch.Tensor]] = []
        self.mixtures: list[list[Mixture]] = [[] for _ in range(len(batch))]
        self.notes: list[dict[str, Any]] = [{} for _ in range(len(batch))]

    @override
    def begin(self, start: int, length: int) -> None:
        """A step begins."""
        self._settle()
        self._seen.append([])
        self._shares.append([])

    @property
    def rows(self) -> list[list[torch.Tensor]]:
        """By step and layer, (B, H, N) float32: attention to every image token."""
        self._settle()
        return self._seen

    @property
    def mass(self) -> list[list[torch.Tensor]]:
        """By step and layer, (B, H, 4) float32: share per `MASS_PARTS`."""
        self._settle()
        return self._shares

    @override
    def wants(self, layer: int) -> bool:
        """Every layer is recorded."""
        return True

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        """Keeps a row (B, H, K)."""
        self._fresh.append((row, first_key))

    def _settle(self) -> None:
        """Takes rows apart: the image's columns and the share of every part."""
        fresh, self._fresh = self._fresh, []
        # Layers behind a sliding window hold fewer keys than the others.
        for place, group in groupby(fresh, lambda item: (item[1], item[0].shape[2])):
            stacked = torch.stack([row for row, _ in group])
            columns, one_hot = self._places(*place, stacked.device)
            seen = stacked.gather(3, columns.clamp_min(0).expand(*stacked.shape[:3], -1))
            self._seen[-1] += (seen * (columns >= 0)).cpu().unbind()
            self._shares[-1] += (stacked @ one_hot.to(stacked.dtype)).cpu().unbind()

    def _places(
        self, first_key: int, keys: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Columns of image tokens, (B, 1, N), and parts of all keys as one-hot, (B, K, 4)."""
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
    rows = torch.stack([torch.stack(step) for step in tap.rows]).permute(2, 0, 1, 3, 4)
    mass = torch.stack([torch.stack(step) for step in tap.mass]).permute(2, 0, 1, 3, 4)
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
