"""Rows of attention, and the result of mixing a map into them.

Pure functions of queries, keys, values and masks. Knows nothing about models.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch


@dataclass(frozen=True)
class Mix:
    """Probability mixing: a share of a row's attention is replaced by given weights.

    p' = (1 - s) p + s pi is linear in the output, so out' = (1 - s) out + s * sum_j pi_j v_j and
    no attention matrix is needed (arXiv 2604.12508 mixes the N x N matrix itself). Both terms sum
    to 1: nothing is left to renormalise. A row after the image sees every image key, except where
    a sliding window has left the image behind; such a row keeps its own attention.

    A sequence of several questions has a map for each of them: `turns` says which one a position
    is steered by, and `map` and `strength` get a second side T.

    Attributes:
        columns: Positions of the image tokens in the sequence, (B, N).
        map: Weight of every image token, (B, N) or (B, T, N), rows sum to 1.
        strength: Share of a head's attention that is replaced, (B, H) or (B, T, H), in [0, 1].
        first_row: First position that is steered, (B,); earlier rows are untouched.
        turns: Which map steers a position, (B, S), below 0 for none; None where there is one map.
        pooled: sum_j map_j v_j, (B, Hkv, D) or (B, T, Hkv, D), where the caller has it already.
    """

    columns: torch.Tensor
    map: torch.Tensor
    strength: torch.Tensor
    first_row: torch.Tensor
    turns: torch.Tensor | None = None
    pooled: torch.Tensor | None = None

    def to(self, device: torch.device) -> Mix:
        """The same on another device; a model may be spread over several."""
        parts: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        for name, part in parts.items():
            parts[name] = None if part is None else part.to(device)
        return Mix(**parts)


def last_row(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attention of the last query, which sees every key unless a mask says otherwise.

    In few operations, because every recorded pass makes them in every layer; keys of grouped heads
    are not repeated.

    Args:
        query: (B, H, Q, D).
        key: (B, Hkv, K, D).
        mask: Boolean (True = visible) or additive, (B, 1, Q, >= K), or None for causal attention.
        scaling: Factor on the logits.
        softcap: Soft limit on the logits (Gemma 2).

    Returns:
        (B, H, K) float32; rows sum to 1, invisible keys are 0.
    """
    batch, heads, _, width = query.shape
    groups, keys = key.shape[1], key.shape[2]
    last = query[:, :, -1].reshape(batch, groups, -1, width).float() * scaling
    logits = (last @ key.float().mT).view(batch, heads, keys)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    if mask is not None:
        seen = mask[:, :, -1, :keys]
        is_bool = seen.dtype == torch.bool
        logits = hide(logits, seen) if is_bool else logits + seen.float()
    return logits.softmax(-1)


def raw_logits(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    rows: torch.Tensor,
    softcap: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of some query rows before any mask, and what the mask lets them see.

    Args:
        query: As in `last_row`, like all that follow.
        key: Keys.
        mask: Mask.
        scaling: Factor.
        rows: Rows.
        softcap: Soft limit.

    Returns:
        (B, H, R, K) float32 and (B or 1, 1, R, K) bool.
    """
    batch, heads, queries, width = query.shape
    groups, keys = key.shape[1], key.shape[2]
    chosen = query.index_select(2, rows).reshape(batch, groups, -1, width)
    # In float32, as SDPA accumulates: half precision would round every logit.
    logits = (chosen.float() @ key.float().mT).reshape(batch, heads, len(rows), keys) * scaling
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    if mask is None:
        last_visible = rows + keys - queries
        visible = torch.arange(keys, device=key.device) <= last_visible[:, None]
        return logits, visible[None, None]
    mask = mask.index_select(2, rows)[..., :keys]
    return logits, mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def hide(logits: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Logits with -inf where a key is not visible."""
    return logits.masked_fill(~visible, float("-inf"))


def pooled_values(
    value: torch.Tensor, columns: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """sum_j pi_j v_j over image tokens.

    Args:
        value: (B, Hkv, K, D).
        columns: Key columns of the image tokens, (B, N), < 0 where a cache has dropped them.
        weights: (B, N) or (B, T, N).

    Returns:
        (B, Hkv, D) or (B, T, Hkv, D) in float32; dropped columns add nothing.
    """
    turns = weights if weights.ndim == 3 else weights[:, None]
    turns = turns.float() * (columns >= 0)[:, None]
    # Spread over all keys: gathering the values of image tokens would copy most of the cache.
    row = turns.new_zeros(*turns.shape[:2], value.shape[2])
    row = row.scatter_add(2, columns.clamp_min(0)[:, None].expand_as(turns), turns)
    pooled = (row[:, None] @ value.float()).transpose(1, 2)
    return pooled if weights.ndim == 3 else pooled[:, 0]


def steered_rows(
    mix: Mix, mask: torch.Tensor | None, start: int, queries: int, first_key: int
) -> torch.Tensor:
    """Which queries are steered: those after the image that see all of it.

    Args:
        mix: What to mix.
        mask: As in `last_row`.
        start: Position of the first query.
        queries: Number of queries Q.
        first_key: Position of key column 0; above 0 where a sliding cache has dropped keys.

    Returns:
        (B, Q) bool.
    """
    columns = mix.columns - first_key
    positions = torch.arange(start, start + queries, device=columns.device)
    steered = (positions >= mix.first_row[:, None]) & (columns >= 0).all(1, keepdim=True)
    if mix.turns is not None:
        steered = steered & (mix.turns[:, start : start + queries] >= 0)
    if mask is None:
        return steered
    index = columns.clamp_min(0)[:, None].expand(-1, queries, -1)
    mask = mask[:, 0].expand(len(columns), -1, -1).gather(2, index)
    visible = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    return steered & visible.all(2)


def apply_mix(
    out: torch.Tensor,
    value: torch.Tensor,
    mix: Mix,
    steered: torch.Tensor,
    first_key: int,
    start: int = 0,
) -> torch.Tensor:
    """Mixes pooled image values into attention outputs.

    Args:
        out: Stock attention output, (B, Q, H, D).
        value: (B, Hkv, K, D).
        mix: What to mix.
        steered: Into which rows, (B, Q) bool.
        first_key: Position of key column 0.
        start: Position of the first query.

    Returns:
        (B, Q, H, D), bit-equal to `out` where the strength is 0.
    """
    pooled = mix.pooled
    if pooled is None:
        pooled = pooled_values(value, mix.columns - first_key, mix.map)
    pooled = pooled.repeat_interleave(out.shape[2] // value.shape[1], -2)
    strength = mix.strength.float()
    if mix.turns is None:
        pooled, strength = pooled[:, None], strength[:, None]
    else:
        turn = mix.turns[:, start : start + out.shape[1]].clamp_min(0)
        row = torch.arange(len(turn), device=turn.device)[:, None]
        pooled, strength = pooled[row, turn], strength[row, turn]
    strength = (strength * steered[..., None])[..., None]
    return (out.float() + strength * (pooled - out.float())).to(out.dtype)


def mix_row(row: torch.Tensor, mix: Mix, steered: torch.Tensor, first_key: int) -> torch.Tensor:
    """The same in probability space, for the record.

    Args:
        row: One row per prompt, (B, H, K).
        mix: What to mix.
        steered: Whether that row is steered, (B,) bool.
        first_key: Position of key column 0.
    """
    injected = torch.zeros_like(row[:, 0])
    injected.scatter_(1, (mix.columns - first_key).clamp_min(0), mix.map.to(row.dtype))
    strength = mix.strength[..., None].to(row.dtype) * steered[:, None, None]
    return (1 - strength) * row + strength * injected[:, None]


def eager(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    softcap: float,
) -> torch.Tensor:
    """All rows with a soft cap, which SDPA lacks; bit-equal to transformers' eager attention."""
    groups = query.shape[1] // key.shape[1]
    logits = query @ key.repeat_interleave(groups, 1).mT * scale
    logits = torch.tanh(logits / softcap) * softcap
    queries, keys = logits.shape[-2:]
    if mask is None:
        mask = torch.ones(1, 1, queries, keys, dtype=torch.bool, device=query.device)
        mask = mask.tril(keys - queries)
    if mask.dtype == torch.bool:
        least = torch.finfo(logits.dtype).min
        mask = torch.zeros_like(mask, dtype=logits.dtype).masked_fill(~mask, least)
    weights = (logits + mask[..., :keys]).softmax(-1, torch.float32).to(query.dtype)
    return (weights @ value.repeat_interleave(groups, 1)).transpose(1, 2).contiguous()
