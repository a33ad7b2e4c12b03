"""The architecture of the bundled model: a small LLaVA over this project's own tokenizer."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen3Config, SiglipVisionConfig

from training.pretrain.lanes import LANES
from training.pretrain.processor import (
    END,
    IMAGE,
    NUM_IMAGE_TOKENS,
    PAD,
    PATCH_SIZE,
    SIDE,
    build_processor,
)
from vif.scenes.world import IMAGE_SIZE


def llava_config(vision: dict[str, Any], text: dict[str, Any], **more: Any) -> LlavaConfig:
    """A LLaVA of any size that reads scenes: SigLIP-like tower, QK-normed decoder.

    Args:
        vision: Sizes of the tower, as `SiglipVisionConfig` takes them.
        text: Sizes of the decoder, as `Qwen3Config` takes them.
        **more: For `LlavaConfig`.
    """
    tokenizer = build_processor().tokenizer
    return LlavaConfig(
        vision_config=SiglipVisionConfig(
            image_size=IMAGE_SIZE, patch_size=PATCH_SIZE, vision_use_head=False, **vision
        ),
        text_config=Qwen3Config(
            vocab_size=len(tokenizer),
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids(END),
            pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
            **text,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=NUM_IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        **more,
    )


def build_model(seed: int) -> LlavaForConditionalGeneration:
    """The bundled model with random weights; its decoder has 8 layers."""
    torch.manual_seed(seed)
    vision = {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    text = {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    }
    config = llava_config(vision, text, tie_word_embeddings=True)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        embedding = model.model.vision_tower.embeddings.position_embedding.weight
        embedding.copy_(position_table(embedding.shape[1]))
    model.set_attn_implementation({"text_config": LANES})
    decoder: Any = config.text_config
    model.generation_config.eos_token_id = decoder.eos_token_id
    model.generation_config.pad_token_id = decoder.pad_token_id
    return model


def position_table(width: int) -> torch.Tensor:
    """Sines and cosines of row and column, (N, width), to start the tower's positions from.

    The usual random start is a twentieth of a patch's embedding in size: the tower then ignores
    where a patch lies, and no question about places is ever learned.
    """
    frequencies = math.pi / 2 ** torch.linspace(0, 4, width // 4)
    ticks = torch.arange(SIDE)[:, None] * frequencies
    waves = torch.cat([ticks.sin(), ticks.cos()], -1)
    rows = waves[:, None].expand(-1, SIDE, -1)
    columns = waves[None].expand(SIDE, -1, -1)
    return 0.6 * torch.cat([rows, columns], -1).reshape(SIDE * SIDE, width)
