"""Lanes: many questions of one image side by side, each blind to the others.

A lane attends to the image and, within it, every question to itself; this costs less than half of
one long sequence with a block-diagonal mask. The image comes first and is shared by all lanes.
"""

from __future__ import annotations

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from training.pretrain.processor import NUM_IMAGE_TOKENS

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


def lane_attention(
    module: torch.nn.Module,  # noqa: ARG001
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
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
    return torch.cat([prefix, text], 2).transpose(1, 2).contiguous(), None


AttentionInterface.register(LANES, lane_attention)
AttentionMaskInterface.register(LANES, sdpa_mask)
