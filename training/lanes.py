"""Lanes: many questions of one image side by side, each blind to the others.

A lane attends to the image and, within it, every question to itself; this costs less than half of
one long sequence with a block-diagonal mask. The image comes first and is shared by all lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from training.processor import NUM_IMAGE_TOKENS
from vif.attention import Tap

LANES = "packed_lanes"
NEVER = -1e4  # logit of a key that is not visible; finite in every precision


def lane_mask(block: torch.Tensor, lane: int) -> torch.Tensor:
    """Which token of its lane a text token sees: earlier tokens of its own question.

    The image is visible to all of them and is no part of the mask.

    Args:
        block: Question of each text token, (B, G * lane), 0 for padding.
        lane: Tokens in a lane.

    Returns:
        (B * G, 1, lane, lane) bool, True = visible. A padding token sees the image only.
    """
    block = block.unflatten(1, (-1, lane))
    same = (block[..., :, None] == block[..., None, :]) & (block[..., :, None] > 0)
    return (same & torch.ones(lane, lane, dtype=torch.bool).tril()).flatten(0, 1)[:, None]


@dataclass(frozen=True)
class LaneMix:
    """`vif.attention.Mix` for packed questions: one map per question instead of one per row.

    Attributes:
        map: (B, M, N), rows sum to 1.
        strength: (B, M, H), in [0, 1].
        block: Question of each text token, (B, Q), from 1.
    """

    map: torch.Tensor
    strength: torch.Tensor
    block: torch.Tensor

    def apply(self, out: torch.Tensor, image_values: torch.Tensor) -> torch.Tensor:
        """Mixes into text outputs (B, H, Q, D) with image values (B, H, N, D)."""
        pooled = self.map[:, None].to(image_values.dtype) @ image_values
        strength = self.strength.transpose(1, 2)[..., None].to(out.dtype)
        index = (self.block - 1).clamp_min(0)[:, None, :, None]
        index = index.expand(-1, out.shape[1], -1, 1)
        pooled = pooled.gather(2, index.expand(-1, -1, -1, out.shape[3]))
        strength = strength.gather(2, index) * (self.block > 0)[:, None, :, None]
        return out + strength * (pooled - out)


class LaneTap(Tap):
    """What a training step mixes in, by layer."""

    def __init__(self) -> None:
        self.mixes: dict[int, LaneMix] = {}


def lane_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    vif: LaneTap | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention of a packed batch, in transformers' calling convention.

    Args:
        module: Ignored.
        query: (B, H, N + Q, D).
        key: (B, Hkv, N + Q, D).
        value: As key.
        attention_mask: Of `lane_mask`.
        scaling: Factor on the logits.
        vif: What to mix into the text rows.

    Returns:
        (B, N + Q, H, D) and None.
    """
    lane = attention_mask.shape[-1]
    size = (NUM_IMAGE_TOKENS, query.shape[2] - NUM_IMAGE_TOKENS)
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    (q_image, q_text), (k_image, k_text), (v_image, v_text) = (
        x.split(size, 2) for x in (query * scaling, key, value)
    )
    hidden = ~torch.ones(NUM_IMAGE_TOKENS, NUM_IMAGE_TOKENS, dtype=torch.bool).tril()
    prefix = (q_image @ k_image.mT).masked_fill(hidden, NEVER).softmax(-1) @ v_image

    q_lane, k_lane, v_lane = (x.unflatten(2, (-1, lane)) for x in (q_text, k_text, v_text))
    hidden = ~attention_mask.unflatten(0, (len(query), -1)).transpose(1, 2)
    own = (q_lane @ k_lane.mT).masked_fill(hidden, NEVER).flatten(2, 3)
    weights = torch.cat([q_text @ k_image.mT, own], -1).softmax(-1)
    from_image, from_lane = weights.split((NUM_IMAGE_TOKENS, lane), -1)
    text = from_image @ v_image + (from_lane.unflatten(2, (-1, lane)) @ v_lane).flatten(2, 3)
    if vif is not None and (mix := vif.mixes.get(module.layer_idx)) is not None:
        text = mix.apply(text, v_image)
    return torch.cat([prefix, text], 2).transpose(1, 2).contiguous(), None


AttentionInterface.register(LANES, lane_attention)
AttentionMaskInterface.register(LANES, sdpa_mask)
