"""The one attention function: stock SDPA, plus the wanted rows recorded or edited.

It is registered once for the language model; without a `Tap` a call is exactly stock attention.
A tap belongs to one call: it travels as the forward keyword ``vif`` (never a global, an attribute
of the model or a context variable), so two requests at once cannot meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

# The name must contain neither "sdpa" nor "flash" nor "/": transformers treats those specially.
NAME = "vif_rows"
KEYWORD = "vif"


@dataclass(frozen=True)
class Mix:
    """Probability mixing: a share of a row's attention is replaced by given weights.

    p' = (1 - s) p + s pi is linear in the output, so out' = (1 - s) out + s * sum_j pi_j v_j and
    no attention matrix is needed (arXiv 2604.12508 mixes the N x N matrix itself). Every image key
    is visible to a row after the image and both terms sum to 1: nothing is left to renormalise.

    Attributes:
        columns: Positions of the image tokens in the sequence, (B, N).
        map: Weight of every image token, (B, N), rows sum to 1.
        strength: Share of a head's attention that is replaced, (B, H), in [0, 1].
        first_row: First position that is steered, (B,); earlier rows are untouched.
    """

    columns: torch.Tensor
    map: torch.Tensor
    strength: torch.Tensor
    first_row: torch.Tensor


class Tap:
    """What one call records and edits. Every method may be overridden; by default nothing happens.

    Attributes:
        position: Position of the first query of the forward pass under way.
    """

    position: int = 0

    def begin(self, start: int, length: int) -> None:
        """A forward pass begins: its first query position and number of queries."""

    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """Output of a decoder layer, (B, Q, d). The last layer is not reported."""

    def mix(self, layer: int) -> Mix | None:  # noqa: ARG002
        """What to mix into the attention of a layer."""
        return None

    def wants(self, layer: int) -> bool:  # noqa: ARG002
        """Whether the last query row of a layer is to be recorded."""
        return False

    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        """The last query row of a layer after edits.

        Args:
            layer: The layer.
            row: (B, H, K) float32, rows sum to 1.
            first_key: Position of key 0; above 0 where a sliding cache has dropped keys.
        """


def row_probabilities(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    rows: torch.Tensor,
    softcap: float | None = None,
) -> torch.Tensor:
    """Softmax of some query rows, without repeating keys for grouped heads.

    Args:
        query: (B, H, Q, D).
        key: (B, Hkv, K, D).
        mask: Boolean (True = visible) or additive, (B, 1, Q, >= K), or None for causal attention.
        scaling: Factor on the logits.
        rows: Query rows within this call, (R,).
        softcap: Soft limit on the logits (Gemma 2).

    Returns:
        (B, H, R, K) float32; rows sum to 1, invisible keys are 0.
    """
    batch, heads, queries, width = query.shape
    groups, keys = key.shape[1], key.shape[2]
    chosen = query.index_select(2, rows).reshape(batch, groups, -1, width)
    logits = (chosen @ key.mT).reshape(batch, heads, len(rows), keys).float() * scaling
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    if mask is None:
        last_visible = rows + keys - queries
        hidden = torch.arange(keys, device=key.device) > last_visible[:, None]
        logits = logits.masked_fill(hidden, float("-inf"))
    elif mask.dtype == torch.bool:
        logits = logits.masked_fill(~mask.index_select(2, rows)[..., :keys], float("-inf"))
    else:
        logits = logits + mask.index_select(2, rows)[..., :keys].float()
    return logits.softmax(-1)


def pooled_values(
    value: torch.Tensor, columns: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """sum_j pi_j v_j over image tokens.

    Args:
        value: (B, Hkv, K, D).
        columns: Key columns of the image tokens, (B, N), < 0 where a cache has dropped them.
        weights: (B, N).

    Returns:
        (B, Hkv, D) in float32; dropped columns add nothing.
    """
    index = columns.clamp_min(0)[:, None, :, None].expand(-1, value.shape[1], -1, value.shape[3])
    weights = weights.float() * (columns >= 0)
    return torch.einsum("bn,bhnd->bhd", weights, value.gather(2, index).float())


def apply_mix(
    out: torch.Tensor, value: torch.Tensor, mix: Mix, start: int, first_key: int
) -> torch.Tensor:
    """Mixes pooled image values into attention outputs.

    Args:
        out: Stock attention output, (B, Q, H, D).
        value: (B, Hkv, K, D).
        mix: What to mix.
        start: Position of the first query.
        first_key: Position of key column 0; above 0 where a sliding cache has dropped keys.

    Returns:
        (B, Q, H, D), bit-equal to `out` where the strength is 0.
    """
    columns = mix.columns - first_key
    pooled = pooled_values(value, columns, mix.map)
    pooled = pooled.repeat_interleave(out.shape[2] // value.shape[1], 1)[:, None]
    positions = torch.arange(start, start + out.shape[1], device=out.device)
    steered = (positions >= mix.first_row[:, None])[..., None]
    # A row that can no longer see the whole image keeps its own attention.
    steered = steered & (columns >= 0).all(1)[:, None, None]
    strength = (mix.strength[:, None].float() * steered)[..., None]
    return (out.float() + strength * (pooled - out.float())).to(out.dtype)


def mix_row(row: torch.Tensor, mix: Mix, first_key: int) -> torch.Tensor:
    """The same in probability space, for the record: (B, H, K) -> (B, H, K)."""
    columns = mix.columns - first_key
    injected = torch.zeros_like(row[:, 0])
    injected.scatter_(1, columns.clamp_min(0), mix.map.to(row.dtype))
    visible = (columns >= 0).all(1)[:, None, None]
    strength = mix.strength[..., None].to(row.dtype) * visible
    return (1 - strength) * row + strength * injected[:, None]


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in transformers' calling convention; `Tap` comes in as keyword ``vif``.

    Args:
        module: The attention module; its ``layer_idx`` names the layer.
        query: (B, H, Q, D), after positions.
        key: (B, Hkv, K, D), after the cache update.
        value: (B, Hkv, K, D).
        attention_mask: What `sdpa_mask` made, or None for causal.
        scaling: Factor on the logits, 1/sqrt(D) by default.
        dropout: Passed on.
        **kwargs: Passed on.

    Returns:
        (B, Q, H, D) and None.
    """
    tap: Tap | None = kwargs.pop(KEYWORD, None)
    softcap = kwargs.pop("softcap", None)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if softcap is None:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    else:
        out = _dense(query, key, value, attention_mask, scale, softcap)
    layer = getattr(module, "layer_idx", None)
    if tap is None or layer is None:
        return out, None
    mix = tap.mix(layer)
    end = tap.position + query.shape[2]
    first_key = max(0, end - key.shape[2])
    if mix is not None:
        out = apply_mix(out, value, mix, tap.position, first_key)
    if tap.wants(layer):
        last = torch.tensor([query.shape[2] - 1], device=query.device)
        row = row_probabilities(query, key, attention_mask, scale, last, softcap)[:, :, 0]
        tap.record(layer, row if mix is None else mix_row(row, mix, first_key), first_key)
    return out, None


def _dense(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    softcap: float,
) -> torch.Tensor:
    """SDPA has no soft cap, so such models compute every row here."""
    rows = torch.arange(query.shape[2], device=query.device)
    weights = row_probabilities(query, key, mask, scale, rows, softcap).to(value.dtype)
    value = value.repeat_interleave(query.shape[1] // value.shape[1], 1)
    return (weights @ value).transpose(1, 2).contiguous()


def install(model: nn.Module) -> Callable[[], None]:
    """Makes a model's language part use `attention` and report to taps. Once per model, at load.

    Args:
        model: A transformers image-text-to-text model.

    Returns:
        A function that undoes it.
    """
    before = model.get_decoder().config._attn_implementation
    _select(model, NAME)
    unwatch = watch(model)

    def uninstall() -> None:
        unwatch()
        _select(model, before)

    return uninstall


def watch(model: nn.Module) -> Callable[[], None]:
    """Makes the decoder tell taps when a pass begins and what each layer puts out.

    The hooks hold no state and do nothing in a call without a tap.

    Returns:
        A function that removes them.
    """
    decoder = model.get_decoder()
    handles = [decoder.register_forward_pre_hook(_begin, with_kwargs=True)]
    for layer, block in enumerate(decoder.layers):
        if layer > 0:
            handles.append(block.register_forward_pre_hook(_report(layer - 1), with_kwargs=True))

    def unwatch() -> None:
        for handle in handles:
            handle.remove()

    return unwatch


def _select(model: nn.Module, name: str) -> None:
    has_parts = "text_config" in model.config.sub_configs
    model.set_attn_implementation({"text_config": name} if has_parts else name)


def _begin(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
    tap = kwargs.get(KEYWORD)
    if tap is None:
        return
    inputs = kwargs.get("inputs_embeds")
    inputs = kwargs.get("input_ids", args[0] if args else None) if inputs is None else inputs
    cache = kwargs.get("past_key_values")
    tap.position = int(cache.get_seq_length()) if cache is not None else 0
    tap.begin(tap.position, inputs.shape[1])


def _report(layer: int) -> Callable[[nn.Module, tuple, dict[str, Any]], None]:
    """The input of layer l + 1 is the output of layer l, before any norm."""

    def hook(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        tap = kwargs.get(KEYWORD)
        if tap is not None:
            tap.layer_output(layer, args[0] if args else kwargs["hidden_states"])

    return hook


AttentionInterface.register(NAME, attention)
# Without its own entry here the mask would silently be None: attention to future and padding.
AttentionMaskInterface.register(NAME, sdpa_mask)
