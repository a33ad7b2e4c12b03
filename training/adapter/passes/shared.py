"""Passes over a frozen backbone: an image is read once, without gradient, for all its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from typing_extensions import override

from training.adapter.passes.infer import infer
from training.adapter.passes.losses import AnswerLogits, PassResult, answers_of, select_positions
from training.adapter.passes.steering import Injection, Mixer, Reader
from training.adapter.plan import Plan, position_gaps
from training.data.shard import Shard
from vif.adapter import VIFAdapter
from vif.model.attention import KEYWORD, PassEnded, Tap, cache_keyword
from vif.model.types import VisionLanguageModel

# A second pass over the rows costs time; it must save this share of the padding.
WORTH_SPLITTING = 0.15


class SharedLayer(DynamicLayer):
    """One layer of images read before, as the rows of a pass see it.

    It keeps nothing of what is added, so that a layer that runs again for its gradient
    (checkpointing) sees what the first run saw.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, prefix: Any, image: torch.Tensor) -> None:
        """Takes the keys and values of `prefix`, and the image that each row follows."""
        super().__init__()
        self.lazy_initialization(prefix.keys, prefix.values)
        self.keys, self.values, self.image = prefix.keys, prefix.values, image

    @override
    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The image's keys and values followed by the rows' own."""
        pairs = ((self.keys, key_states), (self.values, value_states))
        keys, values = (torch.cat([old.index_select(0, self.image), new], -2) for old, new in pairs)
        return keys, values


class Prefix(NamedTuple):
    """The images of a shard, read once for all their questions.

    Attributes:
        cache: Keys and values of every layer that ran.
        states: Image tokens at every learning layer, (B, N, d).
        mask: (B, P), None where nothing is padded.
        next: Position behind the image, (1, B) or one row for every axis, (axes, B).
    """

    cache: DynamicCache
    states: dict[int, torch.Tensor]
    mask: torch.Tensor | None
    next: torch.Tensor


def run_shared(
    vlm: VisionLanguageModel, adapter: VIFAdapter, shard: Shard, plan: Plan
) -> PassResult:
    """Reads images, infers maps, answers."""
    prefix = read_images(vlm, shard, plan)
    inferred = {}
    if plan.source != "plain":
        texts = _read_texts(vlm, shard, plan, prefix)
        for layer, text in texts.items():
            inferred[layer] = infer(adapter, shard, plan, layer, prefix.states[layer], text)
    if plan.map_only:
        return PassResult(inferred, None)
    injection, parts = Injection(shard, plan, inferred), []
    for rows in chunks(shard.length):
        tap = Mixer(
            lambda layer, rows=rows: injection.mix(layer, rows, _values(prefix, layer, shard))
        )
        length = int(shard.length[rows].max())
        wanted = shard.labels[rows, 1:length] >= 0
        keep = torch.nonzero(wanted.any(0)).squeeze(1)
        logits = select_positions(_pass(vlm, shard, plan, prefix, rows, tap, keep).logits, keep)
        parts.append(answers_of(shard, rows, keep, logits))
    return PassResult(
        inferred, AnswerLogits(*(torch.cat(part) for part in zip(*parts, strict=True)))
    )


@torch.no_grad()
def read_images(vlm: VisionLanguageModel, shard: Shard, plan: Plan | None = None) -> Prefix:
    """Reads every image once; without a plan through all layers, no state of which is kept."""
    head = dict(shard.head)
    mask = head.pop("attention_mask")
    is_padded = not bool(mask.all())
    for name, tensor in head.items():
        if tensor.is_floating_point():
            head[name] = tensor.to(vlm.dtype)
    if not has_mrope(vlm):
        head["position_ids"] = (mask.cumsum(1) - 1).clamp_min(0)
    cache = DynamicCache()
    tap = Reader([], stop=False)
    if plan is not None:
        tap = Reader(plan.settings.learning_layers, stop=plan.map_only)
    with suppress(PassEnded), _positions(vlm) as seen:
        vlm(
            **head,
            attention_mask=mask if is_padded or has_mrope(vlm) else None,
            use_cache=True,
            logits_to_keep=1,
            **{cache_keyword(vlm): cache, KEYWORD: tap},
        )
    states = {layer: image_states(shard, found) for layer, found in tap.states.items()}
    following = mask.sum(1)[None]
    if has_mrope(vlm):
        # Text positions first where there are four rows; the others go on behind the largest.
        (positions,) = seen
        largest = positions[-3:].amax((0, 2)) + 1
        following = torch.stack([largest] * 3)
        if len(positions) == 4:
            following = torch.cat([mask.sum(1)[None], following])
    return Prefix(cache, states, mask if is_padded else None, following)


def has_mrope(vlm: VisionLanguageModel) -> bool:
    """Whether positions have axes of their own for time, row and column (Qwen)."""
    parameters = getattr(vlm.config.get_text_config(), "rope_parameters", None) or {}
    return "mrope_section" in parameters


@contextmanager
def _positions(vlm: VisionLanguageModel) -> Iterator[list[torch.Tensor]]:
    """Positions that the language model is given within the context."""
    found: list[torch.Tensor] = []

    def keep(_: nn.Module, __: tuple, kwargs: dict[str, Any]) -> None:
        found.append(kwargs["position_ids"])

    handle = vlm.get_decoder().register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()


def image_states(shard: Shard, states: torch.Tensor) -> torch.Tensor:
    """States (B, S, d) at image tokens, (B, N, d)."""
    index = shard.columns[..., None].expand(-1, -1, states.shape[-1])
    return states.gather(1, index)


@torch.no_grad()
def _read_texts(
    vlm: VisionLanguageModel, shard: Shard, plan: Plan, prefix: Prefix
) -> dict[int, torch.Tensor]:
    """States at every learning layer of what latents read, (Q, L, d)."""
    found: dict[int, torch.Tensor] = {}
    for rows in chunks(shard.length):
        tap = Reader(plan.settings.learning_layers, stop=True)
        with suppress(PassEnded):
            _pass(vlm, shard, plan, prefix, rows, tap, 1)
        for layer, states in tap.states.items():
            size = (*shard.ids.shape, states.shape[-1])
            whole = found.setdefault(layer, states.new_zeros(size))
            whole[rows, : states.shape[1]] = states
    place = shard.row.clamp_min(0)[:, None]
    return {layer: states[place, shard.read] for layer, states in found.items()}


def _values(prefix: Prefix, layer: int, shard: Shard) -> torch.Tensor:
    """Values of image tokens in a layer, (B, Hkv, N, D)."""
    kept: Any = prefix.cache.layers[layer]
    values = kept.values
    index = shard.columns[:, None, :, None]
    return values.gather(2, index.expand(-1, values.shape[1], -1, values.shape[3]))


def _pass(
    vlm: VisionLanguageModel,
    shard: Shard,
    plan: Plan,
    prefix: Prefix,
    rows: torch.Tensor,
    tap: Tap,
    keep: torch.Tensor | int,
) -> Any:
    """Runs rows after their images; returns logits of the positions to keep."""
    length = int(shard.length[rows].max())
    image = shard.image[rows]
    cache = DynamicCache()
    layers: list[Any] = prefix.cache.layers
    shared: list[Any] = [SharedLayer(layer, image) for layer in layers if layer.is_initialized]
    cache.layers = shared
    positions = prefix.next[:, image, None] + torch.arange(length, device=image.device)
    if plan.gap_max:
        positions = positions + position_gaps(shard, plan)[rows][:, None]
    mask = None
    if prefix.mask is not None:
        mask = F.pad(prefix.mask[image], (0, length), value=1)
    return vlm(
        input_ids=shard.ids[rows, :length],
        attention_mask=mask,
        position_ids=positions if has_mrope(vlm) else positions[0],
        use_cache=True,
        logits_to_keep=keep,
        **{cache_keyword(vlm): cache, KEYWORD: tap},
    )


def chunks(lengths: torch.Tensor) -> list[torch.Tensor]:
    """Rows in one or two groups of like length, the least padding in all."""
    order = lengths.argsort(stable=True)
    ordered = lengths[order]
    count = torch.arange(1, len(order) + 1, device=lengths.device)
    cost = count * ordered + (len(order) - count) * ordered[-1]
    split = int(cost.argmin()) + 1
    if cost[split - 1] > (1 - WORTH_SPLITTING) * cost[-1]:
        return [order]
    return [order[:split], order[split:]]
