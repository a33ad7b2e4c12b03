"""Greedy decoding with a tap, step by step, for a batch of prompts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from vif.model.attention import KEYWORD, Tap
from vif.model.types import VisionLanguageModel

NUM_ALTERNATIVES = 5


class Cancelled(Exception):
    """Raised between two tokens after the caller asked to stop."""


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
    finished_at: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))


def generate(
    model: VisionLanguageModel,
    inputs: dict[str, Any],
    tap: Tap,
    max_new_tokens: int,
    cancel: threading.Event | None = None,
) -> Generated:
    """Answers a batch greedily.

    Goes through ``model.generate`` so that caches, positions and multimodal inputs are prepared by
    the model itself, with a decoding loop of our own that hands `tap` to every forward pass.

    Args:
        model: A transformers model with `vif.model.attention` installed.
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


class Stream:
    """One sequence of forward passes with its own cache: a prompt, then token after token.

    Attributes:
        ids: Everything read so far, (B, S).
    """

    def __init__(
        self, model: VisionLanguageModel, ids: torch.Tensor, kwargs: dict[str, Any]
    ) -> None:
        self.model, self.ids, self.kwargs = model, ids, kwargs
        self.first = True

    def advance(self, tap: Tap | None = None, gradients: bool = False) -> torch.Tensor:
        """Reads what is new and gives the logits of the next token, (B, V) float32.

        Args:
            tap: Records or edits.
            gradients: Whether the logits keep what a gradient needs.
        """
        with torch.set_grad_enabled(gradients):
            return self._advance(tap)

    def _advance(self, tap: Tap | None) -> torch.Tensor:
        step = self.model.prepare_inputs_for_generation(
            self.ids,
            next_sequence_length=None if self.first else 1,
            is_first_iteration=self.first,
            **self.kwargs,
        )
        outputs = self.model(**step, return_dict=True, **{KEYWORD: tap})
        self.kwargs = self.model._update_model_kwargs_for_generation(outputs, self.kwargs)
        self.first = False
        return outputs.logits[:, -1].float()

    def feed(self, tokens: torch.Tensor) -> None:
        """Appends one token to every prompt, (B,)."""
        self.ids = torch.cat([self.ids, tokens[:, None].to(self.ids)], -1)


def open_stream(model: VisionLanguageModel, inputs: dict[str, Any]) -> Stream:
    """A stream for a branch that runs beside an answer (guidance by contrast).

    Args:
        model: A transformers model.
        inputs: Keyword arguments of ``generate``: ids, mask, image if there is one.
    """
    streams: list[Stream] = []

    def keep(model: VisionLanguageModel, input_ids: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        for name in ("logits_processor", "stopping_criteria", "generation_config"):
            kwargs.pop(name)
        streams.append(Stream(model, input_ids, kwargs))
        return input_ids

    # Nothing is generated here; without a length transformers warns about the one it assumes.
    model.generate(**inputs, custom_generate=keep, do_sample=False, num_beams=1, max_new_tokens=1)
    return streams[0]


def _loop(
    model: VisionLanguageModel,
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
    stream = Stream(model, input_ids, model_kwargs)
    while bool(unfinished.any()):
        check()
        logits = tap.guide(stream.advance(tap))
        scores = logits_processor(stream.ids, logits).log_softmax(-1)
        tokens = scores.argmax(-1)
        result.logprobs.append(scores.gather(1, tokens[:, None]).squeeze(1).cpu())
        top = scores.topk(min(NUM_ALTERNATIVES, scores.shape[1]), -1)
        result.top.append((top.indices.cpu(), top.values.exp().cpu()))
        lengths += unfinished
        if pad is not None:
            tokens = torch.where(unfinished, tokens, pad)
        result.tokens.append(tokens.cpu())
        tap.chose(tokens)
        stream.feed(tokens)
        unfinished = unfinished & ~stopping_criteria(stream.ids, None)
    result.finished_at = lengths.cpu()
    return stream.ids
