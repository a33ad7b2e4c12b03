"""The one attention function: stock SDPA, plus the wanted rows recorded or edited.

It is registered once for the language model; without a `Tap` a call is exactly stock attention.
A tap belongs to one call: it travels as the forward keyword ``vif`` (never a global, an attribute
of the model or a context variable), so two requests at once cannot meet.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from vif.model.edits import Edit, apply_edit
from vif.model.rows import Mix, apply_mix, eager, last_row, mix_row, steered_rows
from vif.model.types import VisionLanguageModel

# The name must contain neither "sdpa" nor "flash" nor "/": transformers treats those specially.
NAME = "vif_rows"
KEYWORD = "vif"
# transformers' keyword for the key-value cache: from 5.24 on, and before.
CACHE_NAMES = ("cache", "past_key_values")


class PassEnded(Exception):
    """Raised by a tap to end a forward pass early, once it has what it reads."""


class Tap:
    """What one call records and edits. Every method may be overridden; by default nothing happens.

    Attributes:
        position: Position of the first query of the forward pass under way.
    """

    position: int = 0

    def begin(self, start: int, length: int) -> None:
        """Called at the start of a forward pass: first query position and number of queries."""

    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """Output of a decoder layer, (B, Q, d). The last layer is not reported."""

    def mix(self, layer: int) -> Mix | None:  # noqa: ARG002
        """What to mix into the attention of a layer."""
        return None

    def edit(self, layer: int) -> Edit | None:  # noqa: ARG002
        """How to edit the attention of a layer; at most one of `mix` and `edit` may answer."""
        return None

    def guide(self, logits: torch.Tensor, /) -> torch.Tensor:
        """Edits the logits of the next token, (B, V), before anything is chosen from them."""
        return logits

    def chose(self, tokens: torch.Tensor) -> None:
        """Which token was chosen, (B,); a finished prompt gets padding."""

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

    def stock(query: torch.Tensor) -> torch.Tensor:
        if softcap is not None:
            return eager(query, key, value, attention_mask, scale, softcap)
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return out

    layer: int | None = getattr(module, "layer_idx", None)
    if tap is None or layer is None:
        return stock(query), None
    edit = tap.edit(layer)
    if edit is not None:
        query = edit.query(query, key, tap.position)
    out = stock(query)
    mix = tap.mix(layer)
    end = tap.position + query.shape[2]
    first_key = max(0, end - key.shape[2])
    if mix is not None:
        mix = mix.to(out.device)
        steered = steered_rows(mix, attention_mask, tap.position, query.shape[2], first_key)
        out = apply_mix(out, value, mix, steered, first_key, tap.position)
    edited = None
    if edit is not None:
        out, edited = apply_edit(
            edit, layer, out, query, key, value, attention_mask, scale, softcap, tap.position
        )
    if tap.wants(layer):
        row = edited
        if row is None:
            row = last_row(query, key, attention_mask, scale, softcap)
        if mix is not None:
            row = mix_row(row, mix, steered[:, -1], first_key)
        tap.record(layer, row, first_key)
    return out, None


def install(model: VisionLanguageModel) -> Callable[[], None]:
    """Makes a model's language part use `attention` and report to taps. Once per model, at load.

    Args:
        model: A transformers image-text-to-text model.

    Returns:
        A function that undoes it.
    """
    before = model.get_decoder().config._attn_implementation
    select(model, NAME)
    unwatch = watch(model)

    def uninstall() -> None:
        unwatch()
        select(model, before)

    return uninstall


def watch(model: VisionLanguageModel) -> Callable[[], None]:
    """Makes the decoder report to taps: the start of a pass, and the output of each layer.

    The hooks hold no state and change no number in a call without a tap.

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


def select(model: VisionLanguageModel, name: str) -> None:
    """Sends a model's language part, and nothing else, through a registered function."""
    has_parts = "text_config" in model.config.sub_configs
    model.set_attn_implementation({"text_config": name} if has_parts else name)


def cache_keyword(model: VisionLanguageModel) -> str:
    """The keyword by which a model's forward takes a cache."""
    return cache_name(inspect.signature(model.forward).parameters) or CACHE_NAMES[-1]


def cache_name(kwargs: Container[str]) -> str | None:
    """Under which name keyword arguments hold a cache, None if they hold none."""
    return next((name for name in CACHE_NAMES if name in kwargs), None)


def _begin(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict] | None:
    tap = kwargs.get(KEYWORD)
    if tap is not None:
        inputs: Any = kwargs.get("inputs_embeds")
        inputs = kwargs.get("input_ids", args[0] if args else None) if inputs is None else inputs
        name = cache_name(kwargs)
        cache = None if name is None else kwargs[name]
        tap.position = int(cache.get_seq_length()) if cache is not None else 0
        tap.begin(tap.position, inputs.shape[1])
    if "logits_to_keep" not in kwargs:
        return None
    # Gemma 4's last layers would read only the rows whose logits are kept: all, here.
    return args, {name: value for name, value in kwargs.items() if name != "logits_to_keep"}


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
