"""Evidence about maps without boxes: where would looking have made a known answer likelier?

The rows that predict an answer are read once more with their attention turned to a uniform map.
The gradient of the answer's log-probability with respect to that map says which places would have
helped this answer, and by how much: one backward pass through the answers' own tokens. The prompt
and its image are read once and without gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from transformers import DynamicCache
from typing_extensions import override

from training.adapter.passes.shared import Prefix, SharedLayer, chunks, has_mrope, read_images
from training.adapter.passes.steering import Mixer
from training.adapter.passes.whole import inputs_of
from training.data.encoding import ANSWER
from training.data.shard import Shard
from vif.model.attention import KEYWORD
from vif.model.rows import Mix
from vif.model.types import VisionLanguageModel


class Gradients(NamedTuple):
    """Gradients of the answers to Q questions with respect to N places.

    Attributes:
        map: d log p(answer) / d map, (Q, N); 0 where there is no question.
        value: log p(answer) at the uniform map, (Q,).
    """

    map: torch.Tensor
    value: torch.Tensor


class _Kept(SharedLayer):
    """Keeps the keys and values that the rows add after their images."""

    @override
    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.found = super().update(key_states, value_states)
        return self.found


class _Answers(NamedTuple):
    """Where in their rows answers are predicted: positions, tokens, which are real, all (Q, A)."""

    at: torch.Tensor
    tokens: torch.Tensor
    valid: torch.Tensor


def gradients(
    vlm: VisionLanguageModel,
    shard: Shard,
    layers: list[int],
    strength: float,
    whole: bool = False,
    wanted: torch.Tensor | None = None,
) -> Gradients:
    """Gradients of a shard's questions; see the module.

    Args:
        vlm: The backbone.
        shard: See `training.data.shard`.
        layers: Where the uniform map is mixed in, in every head alike.
        strength: Share of attention that it replaces.
        whole: Whether whole sequences are read, as where the image sees the question. All
            questions are asked then.
        wanted: Which questions are asked, (Q,) bool; all by default. The others are left 0.
    """
    answers = _answers(shard)
    number, places = len(shard.row), shard.columns.shape[1]
    found = Gradients(
        torch.zeros(number, places, device=shard.ids.device),
        torch.zeros(number, device=shard.ids.device),
    )
    if whole:
        asked = torch.arange(number, device=shard.ids.device)
        return _whole(vlm, shard, answers, layers, strength, asked)
    with torch.no_grad():
        prefix = read_images(vlm, shard)
    wanted = shard.row >= 0 if wanted is None else wanted & (shard.row >= 0)
    read = shard.row[wanted].unique()
    for part in chunks(shard.length[read]) if len(read) else []:
        rows = read[part]
        asked = torch.nonzero(wanted & torch.isin(shard.row, rows)).squeeze(1)
        with torch.no_grad():
            kept = _read_rows(vlm, shard, prefix, rows)
        row = (rows == shard.row[asked, None]).long().argmax(1)
        some = _shared(vlm, shard, answers, prefix, kept, (asked, row), layers, strength)
        found.map[asked], found.value[asked] = some
    return found


def _answers(shard: Shard) -> _Answers:
    row, known = shard.row.clamp_min(0), shard.row >= 0
    turn = (shard.question[row] == torch.arange(len(row), device=row.device)[:, None]).int()
    wanted = (shard.part[row] == ANSWER) & (shard.turn[row] == turn.argmax(1, keepdim=True))
    wanted &= known[:, None]
    wanted[:, 0] = False  # No row predicts the first token of a sequence.
    length, most = wanted.shape[1], max(int(wanted.sum(1).max()), 1)
    ticks = torch.arange(length, device=row.device)
    place = torch.where(wanted, ticks, length).sort(1).values[:, :most]
    valid, place = place < length, place.clamp_max(length - 1)
    return _Answers(place - 1, shard.ids[row].gather(1, place), valid)


def _read_rows(
    vlm: VisionLanguageModel, shard: Shard, prefix: Prefix, rows: torch.Tensor
) -> list[_Kept]:
    """Keys and values of every layer over images and rows."""
    length, image = int(shard.length[rows].max()), shard.image[rows]
    cache = DynamicCache()
    kept = [_Kept(layer, image) for layer in prefix.cache.layers]
    layers: list[Any] = [*kept]
    cache.layers = layers
    mask = prefix.mask
    vlm(
        input_ids=shard.ids[rows, :length],
        attention_mask=None if mask is None else F.pad(mask[image], (0, length), value=1),
        position_ids=_positions(vlm, prefix, image, torch.arange(length, device=rows.device)),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return kept


def _shared(
    vlm: VisionLanguageModel,
    shard: Shard,
    answers: _Answers,
    prefix: Prefix,
    kept: list[_Kept],
    asked: tuple[torch.Tensor, torch.Tensor],
    layers: list[int],
    strength: float,
) -> Gradients:
    """Gradients of some questions, whose rows are among those kept."""
    question, row = asked
    at, tokens, valid = (part[question] for part in answers)
    image = shard.image[shard.row[question]]
    head, total = shard.head["input_ids"].shape[1], kept[0].found[0].shape[2]
    cache = DynamicCache()
    shared: list[Any] = [SharedLayer(_Pair(*layer.found), row) for layer in kept]
    cache.layers = shared
    behind = torch.arange(total - head, device=row.device) < at[:, :1]
    before = torch.cat([shard.head["attention_mask"][image].bool(), behind], 1)
    length = at.shape[1]
    own = torch.ones(length, length, dtype=torch.bool, device=row.device).tril()
    seen = (before[:, None].expand(-1, length, -1), own.expand(len(row), -1, -1))
    leaf, mix = _leaf(vlm, shard, image, strength, head)
    with torch.enable_grad():
        logits = vlm(
            input_ids=shard.ids[shard.row[question]].gather(1, at),
            attention_mask=_masks(vlm, torch.cat(seen, 2), head + at, total),
            position_ids=_positions(vlm, prefix, image, at),
            past_key_values=cache,
            use_cache=True,
            **{KEYWORD: Mixer(lambda layer: mix if layer in layers else None)},
        ).logits
        return _differentiate(logits, tokens, valid, leaf)


def _whole(
    vlm: VisionLanguageModel,
    shard: Shard,
    answers: _Answers,
    layers: list[int],
    strength: float,
    asked: torch.Tensor,
) -> Gradients:
    """The same in passes over whole sequences, one for the first turns, one for the second, ...

    All turns at once would not do: later ones read what was steered for earlier ones.
    """
    start, row = shard.head["input_ids"].shape[1], shard.row.clamp_min(0)
    turn = (shard.question[row] == asked[:, None]).int().argmax(1)
    size = (len(shard.ids), start + shard.ids.shape[1])
    found = None
    for number in range(shard.question.shape[1]):
        leaf, mix = _leaf(vlm, shard, shard.image[row], strength, start)
        valid = answers.valid & (turn == number)[:, None]
        which = torch.nonzero(valid)
        turns = torch.full(size, -1, device=row.device)
        turns[row[which[:, 0]], start + answers.at[which[:, 0], which[:, 1]]] = number
        with torch.enable_grad():
            own = Mix(
                columns=shard.columns[shard.image],
                map=leaf[shard.question],
                strength=mix.strength[shard.question],
                first_row=torch.full((size[0],), start, device=row.device),
                turns=turns,
            )
            logits = vlm(
                **inputs_of(vlm, shard),
                use_cache=False,
                **{KEYWORD: Mixer(lambda layer, own=own: own if layer in layers else None)},
            ).logits
            places = (start + answers.at)[..., None].expand(-1, -1, logits.shape[-1])
            part = _differentiate(logits[row].gather(1, places), answers.tokens, valid, leaf)
        found = part if found is None else Gradients(found.map + part.map, found.value + part.value)
    assert found is not None  # a shard has one turn at least
    return found


def _leaf(
    vlm: VisionLanguageModel, shard: Shard, image: torch.Tensor, strength: float, first_row: int
) -> tuple[torch.Tensor, Mix]:
    """Uniform maps to differentiate by, over what lies on the image, and how they are mixed in."""
    outside = shard.centres[image].isnan().any(-1)
    weights = (~outside).float()
    leaf = (weights / weights.sum(1, keepdim=True).clamp_min(1)).requires_grad_(True)
    heads = vlm.config.get_text_config().num_attention_heads
    force = torch.full((len(image), heads), strength, device=image.device)
    first = torch.full((len(image),), first_row, device=image.device)
    return leaf, Mix(shard.columns[image], leaf, force, first)


def _masks(
    vlm: VisionLanguageModel, seen: torch.Tensor, query: torch.Tensor, total: int
) -> torch.Tensor | dict[str, torch.Tensor]:
    """What rows see, (Q, 1, A, K) bool; by kind of layer where some see a window only.

    Args:
        vlm: The backbone.
        seen: What they see without a window, (Q, A, K).
        query: Their places in the sequence, (Q, A).
        total: Keys before the rows' own.
    """
    config = vlm.config.get_text_config()
    kinds, window = getattr(config, "layer_types", None), getattr(config, "sliding_window", None)
    if not window or (kinds is not None and "sliding_attention" not in kinds):
        return seen[:, None]
    key = torch.arange(total, device=query.device).expand(len(query), -1)
    near = torch.cat([key, query], 1)[:, None] > query[..., None] - window
    masks = {"full_attention": seen[:, None], "sliding_attention": (seen & near)[:, None]}
    return masks["sliding_attention"] if kinds is None else masks


def _differentiate(
    logits: torch.Tensor, tokens: torch.Tensor, valid: torch.Tensor, leaf: torch.Tensor
) -> Gradients:
    found = logits.float().log_softmax(-1).gather(2, tokens[..., None]).squeeze(2)
    value = (found * valid).sum(1)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return Gradients(gradient, value.detach())


def _positions(
    vlm: VisionLanguageModel, prefix: Prefix, image: torch.Tensor, ticks: torch.Tensor
) -> torch.Tensor:
    positions = prefix.next[:, image, None] + ticks
    return positions if has_mrope(vlm) else positions[0]


class _Pair(NamedTuple):
    """Keys and values of one layer."""

    keys: torch.Tensor
    values: torch.Tensor
