"""One prompt whose image is read once and whose text is read again and again under other edits.

Nothing that stands before the question sees it, so an edit of rows after the image leaves the keys
and values of the image as they are: they are computed once, and any number of variants of what
follows are rows of one short pass. Where the image does see the question (`Family.sees_all`)
every variant reads the whole prompt.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vif.errors import InputError
from vif.model.attention import KEYWORD, Tap, cache_name
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.model.generation import Cancelled, generate, open_stream
from vif.model.prompt import TEXT_INPUTS
from vif.progress import Progress

# Keys and values that the variants of one pass may take, and the most variants of one pass.
PASS_BYTES, PASS_ROWS = 1 << 30, 64
WHOLE_ROWS = 8
ALONG_SEQUENCE = (*TEXT_INPUTS, "position_ids")


@dataclass(frozen=True)
class Answer:
    """An answer whose probability is tracked.

    Attributes:
        ids: Its tokens, one at least; an end token only where the model's own answer has one.
        text: The same as text.
        length: Number of tokens without the end token; 1 at least.
    """

    ids: tuple[int, ...]
    text: str
    length: int

    def logprob(self, logprobs: np.ndarray) -> np.ndarray:
        """Log-probability of the answer without its end token, (..., T, V) -> (...)."""
        ids = list(self.ids[: self.length])
        return logprobs[..., range(len(ids)), ids].astype(np.float64).sum(-1)

    def probability(self, logprobs: np.ndarray) -> np.ndarray:
        """Its probability, in [0, 1]; see `logprob`."""
        return np.exp(self.logprob(logprobs))


class SharedPrompt:
    """A prompt that is read again under variants.

    Attributes:
        batch: The prompt alone, its image encoded.
        first_row: First position after the image.
        length: Positions of the prompt.
        passes: Rows of forward passes so far, each as a share of the whole prompt.
    """

    def __init__(self, backbone: Backbone, batch: Batch) -> None:
        """Nothing is read yet; the batch holds one prompt."""
        self.backbone, self.batch = backbone, batch
        (self.prompt,) = batch.prompts
        self.first_row = int(self.batch.first_row[0])
        self.length = self.prompt.length
        self.passes = 0.0
        self._start = 0 if backbone.family.reads_together else self.first_row
        self._prefix: dict[str, Any] | None = None
        self._takes_keep = "logits_to_keep" in inspect.signature(backbone.model.forward).parameters

    def answer(
        self, text: str | None = None, max_new_tokens: int = 16, tap: Tap | None = None
    ) -> Answer:
        """The tokens of a given answer, or of the model's own.

        Args:
            text: The answer; None asks the model, greedily.
            max_new_tokens: Longest own answer.
            tap: Watches while the model finds its own answer.

        Raises:
            InputError: If the given answer is empty.
        """
        tokenizer = self.backbone.processor.tokenizer
        if text is not None:
            ids = tokenizer(text.strip(), add_special_tokens=False)["input_ids"]
            if not ids:
                raise InputError("The answer to track is empty: give at least one word.")
            return Answer(tuple(ids), text.strip(), len(ids))
        made = generate(self.backbone.model, dict(self.batch.inputs), tap or Tap(), max_new_tokens)
        ids = [int(step[0]) for step in made.tokens]
        ended = len(ids) > 1 and ids[-1] in _end_tokens(self.backbone.model)
        words = tokenizer.decode(ids, skip_special_tokens=True).strip()
        return Answer(tuple(ids), words, len(ids) - ended)

    @torch.no_grad()
    def logprobs(
        self,
        make_tap: Callable[[slice], Tap],
        variants: int,
        answer: Sequence[int] = (),
        split: bool = False,
        cancel: threading.Event | None = None,
        progress: Progress | None = None,
    ) -> torch.Tensor:
        """Log-probabilities of what comes next, variant by variant, before any logits processor.

        Args:
            make_tap: Makes the tap of one pass from the slice of variants that are its rows.
            variants: How many there are.
            answer: Tokens to read after the prompt; the last is only predicted.
            split: Reads the answer in a pass of its own, for taps that tell the two apart.
            cancel: Checked before every pass.
            progress: Called with (variants done, variants in all).

        Returns:
            (variants, max(1, len(answer)), V) float32 on the CPU; entry t predicts answer token t.

        Raises:
            Cancelled: If `cancel` was set.
        """
        found = []
        size = self._rows_per_pass()
        for start in range(0, variants, size):
            if cancel is not None and cancel.is_set():
                raise Cancelled
            part = slice(start, min(start + size, variants))
            found.append(self._read(make_tap(part), part.stop - start, answer, split))
            if progress is not None:
                progress(part.stop, variants)
        return torch.cat(found)

    def _read(self, tap: Tap, rows: int, answer: Sequence[int], split: bool) -> torch.Tensor:
        ids, kwargs = self._opened(rows)
        extra = torch.tensor([answer[:-1]], dtype=ids.dtype, device=ids.device).expand(rows, -1)
        ids = torch.cat([ids, extra], 1)
        kwargs = {name: _longer(name, value, extra.shape[1]) for name, value in kwargs.items()}
        # Where the image sees all of the prompt it must not see the answer: token by token then.
        steps = range(self.length, ids.shape[1])
        stops = [*steps, ids.shape[1]] if self._start == 0 else [ids.shape[1]]
        if split and self.length < ids.shape[1]:
            stops = sorted({self.length, *stops})
        start, found = self._start, []
        for stop in stops:
            keep = stop - max(start, self.length - 1)
            found.append(self._forward(ids, kwargs, start, stop, keep, tap))
            self.passes += rows * (stop - start) / self.length
            start = stop
        return torch.cat(found, 1)

    def _opened(self, rows: int) -> tuple[torch.Tensor, dict[str, Any]]:
        """Ids and arguments of so many equal rows, with what has been read of them as a cache."""
        if self._start == 0:
            batch = Batch.make(self.backbone, [self.prompt] * rows)
            stream = open_stream(self.backbone.model, batch.inputs)
            return stream.ids, stream.kwargs
        prefix = self._prefix
        if prefix is None:
            stream = open_stream(self.backbone.model, self.batch.inputs)
            self._forward(stream.ids, stream.kwargs, 0, self._start, 1, None)
            self.passes += self._start / self.length
            prefix = self._prefix = stream.kwargs
            self._ids = stream.ids
        kwargs = {name: _repeated(name, value, rows) for name, value in prefix.items()}
        name = cache_name(prefix)
        assert name is not None  # a pass has filled it
        return self._ids.expand(rows, -1), kwargs | {name: _widened(prefix[name], rows)}

    def _forward(
        self,
        ids: torch.Tensor,
        kwargs: dict[str, Any],
        start: int,
        stop: int,
        keep: int,
        tap: Tap | None,
    ) -> torch.Tensor:
        """Reads positions start to stop; log-probabilities after the last `keep` of them."""
        model = self.backbone.model
        cut = {name: _until(name, value, stop) for name, value in kwargs.items()}
        if self._takes_keep:
            cut["logits_to_keep"] = keep
        step = model.prepare_inputs_for_generation(
            ids[:, :stop], next_sequence_length=stop - start, is_first_iteration=start == 0, **cut
        )
        logits = model(**step, return_dict=True, **{KEYWORD: tap}).logits[:, -keep:]
        return logits.float().log_softmax(-1).cpu()

    def _rows_per_pass(self) -> int:
        if self._start == 0:
            return WHOLE_ROWS
        _, kwargs = self._opened(1)
        name = cache_name(kwargs)
        assert name is not None  # a pass has filled it
        size = sum(t.numel() * t.element_size() for t in _tensors(kwargs[name]))
        grown = size * self.length / self._start
        return int(min(PASS_ROWS, max(1, PASS_BYTES // grown)))


def _widened(cache: Any, rows: int) -> Any:
    """Copies of a cache of one row, as one cache; the given cache is unchanged."""
    cache = copy.copy(cache)
    # Attention puts new tensors into its layers, linear attention writes into those it has.
    cache.layers = [
        copy.deepcopy(layer) if hasattr(layer, "recurrent_states") else copy.copy(layer)
        for layer in cache.layers
    ]
    cache.reorder_cache(torch.zeros(rows, dtype=torch.long))
    return cache


def _tensors(cache: Any) -> list[torch.Tensor]:
    """What the layers of a cache hold: keys and values, or the states of linear attention."""
    held: list[Any] = []
    for layer in cache.layers:
        held += [getattr(layer, "keys", None), getattr(layer, "values", None)]
        for states in (getattr(layer, "conv_states", {}), getattr(layer, "recurrent_states", {})):
            held += states.values()
    return [tensor for tensor in held if isinstance(tensor, torch.Tensor)]


def _until(name: str, value: Any, stop: int) -> Any:
    return value[..., :stop] if name in ALONG_SEQUENCE and value is not None else value


def _longer(name: str, value: Any, more: int) -> Any:
    """Arguments along the sequence, for so many tokens of text more."""
    if name not in ALONG_SEQUENCE or value is None or more == 0:
        return value
    if name == "position_ids":
        added = value[..., -1:] + torch.arange(1, more + 1, device=value.device)
    else:
        fill = 1 if name == "attention_mask" else 0
        added = value.new_full((*value.shape[:-1], more), fill)
    return torch.cat([value, added], -1)


def _repeated(name: str, value: Any, rows: int) -> Any:
    """Arguments of one prompt, for so many; the image is not read again."""
    if name not in ALONG_SEQUENCE or value is None:
        return value
    # The batch is the side before the sequence; Qwen's positions have more sides in front.
    return value.expand(*value.shape[:-2], rows, value.shape[-1])


def _end_tokens(model: Any) -> set[int]:
    ids = model.generation_config.eos_token_id
    return set(ids) if isinstance(ids, list | tuple) else {ids}
