"""Attention of a vision tower, computed beside the model: nothing is hooked or stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from vif.errors import InputError
from vif.methods.prompts import refuse_several
from vif.model.backbone import Backbone
from vif.model.prompt import Prompt

# From a tower and pixels (T, 3, H, W) to K scores of every patch in reading order, (T, P, K).
Read = Callable[[Any, torch.Tensor], torch.Tensor]


def tower_of(backbone: Backbone) -> Any | None:
    """The vision tower, if it is a stack of layers as CLIP and SigLIP have."""
    tower = getattr(getattr(backbone.model, "base_model", None), "vision_tower", None)
    layers = getattr(getattr(tower, "encoder", None), "layers", None)
    first = layers[0] if layers else None
    is_known = hasattr(first, "layer_norm1") and hasattr(
        getattr(first, "self_attn", None), "q_proj"
    )
    return tower if is_known else None


def has_cls(tower: Any) -> bool:
    """Whether a tower's first token stands for the whole image."""
    return hasattr(getattr(tower, "embeddings", None), "class_embedding")


def no_tower(who: str, backbone: Backbone) -> str:
    """Why something cannot read a model's vision tower; "" if it can."""
    if tower_of(backbone) is not None:
        return ""
    return (
        f"{who} needs a vision tower of plain layers, as CLIP and SigLIP have, and that of "
        f"{backbone.name} has none: choose another."
    )


def no_cls(who: str, backbone: Backbone) -> str:
    """Why something cannot read a CLS token of a model's vision tower; "" if it can."""
    if has_cls(tower_of(backbone)):
        return ""
    return (
        f"{who} needs a vision tower with a CLS token, as CLIP has, and that of {backbone.name} "
        "has none: choose another."
    )


@dataclass(frozen=True)
class Layer:
    """One layer of a tower on some states.

    Attributes:
        block: The layer.
        states: Its input, (T, S, d).
    """

    block: Any
    states: torch.Tensor

    def attention(self, queries: slice = slice(None)) -> torch.Tensor:
        """Weights of some queries on all tokens, (T, Q, S, H) float32."""
        query, key = (self._heads(name) for name in ("q_proj", "k_proj"))
        logits = torch.einsum("tqhd,tkhd->tqkh", query[:, queries], key)
        return (logits * self.block.self_attn.scale).softmax(2)

    def values(self) -> torch.Tensor:
        """Value vectors, (T, S, H, D) float32."""
        return self._heads("v_proj")

    def _heads(self, name: str) -> torch.Tensor:
        attention = self.block.self_attn
        made = getattr(attention, name)(self.block.layer_norm1(self.states))
        return made.unflatten(-1, (attention.num_heads, -1)).float()


def first_states(tower: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The input of a tower's first layer, (T, S, d)."""
    states = tower.embeddings(pixels)
    return tower.pre_layrnorm(states) if hasattr(tower, "pre_layrnorm") else states


@torch.no_grad()
def cls_attention(tower: Any, pixels: torch.Tensor, layers: tuple[int, ...]) -> torch.Tensor:
    """What the CLS token of a CLIP tower attends to, heads summed.

    Args:
        tower: A transformers ``CLIPVisionModel``.
        pixels: (T, 3, H, W).
        layers: Layers of the tower, in order.

    Returns:
        (T, P, number of layers), P patches in reading order.
    """
    states = first_states(tower, pixels)
    found = []
    for number, block in enumerate(tower.encoder.layers[: layers[-1] + 1]):
        if number in layers:
            row = Layer(block, states).attention(slice(1))[:, 0, 1:].sum(-1)
            found += [row] * layers.count(number)
        states = block(states, attention_mask=None)
    return torch.stack(found, -1)


def token_scores(
    backbone: Backbone, prompt: Prompt, read: Read
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of patches in the order of the image tokens.

    Args:
        backbone: A model with a tower of layers.
        prompt: Its pixels are read.
        read: Gives the scores.

    Returns:
        (N, K) scores, 0 for a token that is not a patch (row breaks), and which are patches, (N,)
        bool.

    Raises:
        InputError: If the model joins patches, so that they are no image tokens, or the prompt
            holds other images too.
    """
    refuse_several(prompt, "Reading the vision tower patch by patch")
    model = backbone.model.base_model
    tower = model.vision_tower
    pixels = prompt.inputs["pixel_values"].flatten(0, -4).to(tower.device, tower.dtype)
    scores = read(tower, pixels).float()
    scores = torch.cat([scores, torch.ones_like(scores[..., :1])], -1)
    if hasattr(model, "pack_image_features"):
        newline = scores.new_zeros(scores.shape[-1])
        strategy = backbone.model.config.vision_feature_select_strategy
        (scores,), _ = model.pack_image_features(
            [scores], prompt.inputs["image_sizes"], strategy, image_newline=newline
        )
    scores = scores.reshape(-1, scores.shape[-1])
    if len(scores) != len(prompt.image):
        raise InputError(
            f"{backbone.name} cannot be read patch by patch: its vision tower has {len(scores)} "
            f"patches for {len(prompt.image)} image tokens."
        )
    return scores[:, :-1], scores[:, -1] > 0
