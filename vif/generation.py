"""Greedy decoding with a tap, step by step, for a batch of prompts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from vif.attention import KEYWORD, Tap

NUM_ALTERNATIVES = 5


class Cancelled(Exception):
    """The person pressed Stop."""


@dataclass
class Generated:
    """What greedy decoding produced for B prompts.

    Attributes:
        tokens: Generated ids per step, each (B,).
        logprobs: Their log-probabilities per step, each (B,).
        top: Most likely ids and their probabilities per step, each a pair of (B, 5).
        finished_at: Number of tokens of every prompt, its end token included, (B,).
    """

    tokens: list[torch.Tensor] = field(default_factory=list)
    logprobs: list[torch.Tensor] = field(default_factory=list)
    top: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    finished_at: torch.Tensor | None = None


def generate(
    model: torch.nn.Module,
    inputs: dict[str, Any],
    tap: Tap,
    max_new_tokens: int,
    cancel: threading.Event | None = None,
) -> Generated:
    """Answers a batch greedily.

    Goes through ``model.generate`` so that caches, positions and multimodal inputs are prepared by
    the model itself, with a decoding loop of our own that hands `tap` to every forward pass.

    Args:
        model: A transformers model with `vif.attention` installed.
        inputs: Keyword arguments of ``generate``: ids, mask, image.
        tap: Records or edits.
        max_new_tokens: Longest answer, >= 1.
        cancel: Checked before every step.

    Raises:
        Cancelled: If `cancel` was set.
    """
    result = Generated()
    model.generate(
        **inputs,
        custom_generate=_loop,
        tap=tap,
        result=result,
        check=_checker(cancel),
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        temperature=None,
        top_p=None,
        top_k=None,
    )
    return result


def _checker(cancel: threading.Event | None) -> Callable[[], None]:
    def check() -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled

    return check


def _loop(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    tap: Tap,
    result: Generated,
    check: Callable[[], None],
    **model_kwargs: Any,
) -> torch.Tensor:
    """Greedy search as transformers runs it, plus the tap."""
    unfinished = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    lengths = torch.zeros(len(input_ids), dtype=torch.long, device=input_ids.device)
    pad = generation_config._pad_token_tensor
    first = True
    while bool(unfinished.any()):
        check()
        step = model.prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=None if first else 1,
            is_first_iteration=first,
            **model_kwargs,
        )
        outputs = model(**step, return_dict=True, **{KEYWORD: tap})
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
        logits = outputs.logits[:, -1].float()
        scores = logits_processor(input_ids, logits).log_softmax(-1)
        tokens = scores.argmax(-1)
        result.logprobs.append(scores.gather(1, tokens[:, None]).squeeze(1).cpu())
        top = scores.topk(min(NUM_ALTERNATIVES, scores.shape[1]), -1)
        result.top.append((top.indices.cpu(), top.values.exp().cpu()))
        lengths += unfinished
        if pad is not None:
            tokens = torch.where(unfinished, tokens, pad)
        result.tokens.append(tokens.cpu())
        input_ids = torch.cat([input_ids, tokens[:, None]], -1)
        unfinished = unfinished & ~stopping_criteria(input_ids, None)
        first = False
    result.finished_at = lengths.cpu()
    return input_ids
