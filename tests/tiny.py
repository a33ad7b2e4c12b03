"""A tiny random LLaVA with the bundled model's processor: no trained weights needed."""

from __future__ import annotations

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen3Config, SiglipVisionConfig

from training.pretrain.processor import END, IMAGE, PAD, build_processor
from vif.adapter import VIFAdapter, VIFConfig
from vif.model.backbone import Backbone
from vif.session import Session

NUM_LAYERS, NUM_HEADS, HIDDEN = 6, 4, 32


def tiny_model(seed: int = 0) -> LlavaForConditionalGeneration:
    """Random weights, grouped heads (4 query, 2 key), 144 image tokens, 6 layers."""
    torch.manual_seed(seed)
    tokenizer = build_processor().tokenizer
    vision = SiglipVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=192,
        patch_size=16,
        vision_use_head=False,
    )
    text = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=NUM_HEADS,
        num_key_value_heads=2,
        head_dim=8,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=144,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    model = LlavaForConditionalGeneration(config)
    # Larger weights than the usual 0.02, so that attention is far from uniform.
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.5 if "q_proj" in name else 0.15)
    model.generation_config.pad_token_id = text.pad_token_id
    # Random models may write the image token, which a second forward pass would take for an image.
    model.generation_config.suppress_tokens = [config.image_token_index, text.eos_token_id]
    return model


def tiny_adapter(seed: int = 0) -> VIFAdapter:
    """An adapter for `tiny_model` whose gates differ by question, layer and head."""
    torch.manual_seed(seed)
    config = VIFConfig(
        HIDDEN,
        NUM_LAYERS,
        NUM_HEADS,
        width=16,
        num_components=3,
        image_layers=1,
        slot_layers=2,
        latent_heads=2,
        ffn_dim=32,
        learning=(1, 2),
        injection=(3, 5),
    )
    adapter = VIFAdapter(config)
    torch.nn.init.normal_(adapter.gate_head[-1].weight, std=1.0)
    for layer in (adapter.pointer, adapter.anchor, adapter.relation):
        torch.nn.init.normal_(layer.weight, std=1.0)
    return adapter.eval()


def tiny_session() -> Session:
    """Both together."""
    return Session(Backbone(tiny_model(), build_processor(), "tiny"), tiny_adapter())
