"""A tiny random LLaVA with the bundled model's processor: no trained weights needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from transformers import LlavaForConditionalGeneration

from training.pretrain.model import llava_config
from training.pretrain.processor import build_processor
from vif.adapter import VIFAdapter
from vif.check.models import ADAPTER, HIDDEN, NUM_HEADS, NUM_LAYERS
from vif.model.backbone import Backbone
from vif.session import Session


def tiny_model(seed: int = 0) -> LlavaForConditionalGeneration:
    """Random weights, grouped heads (4 query, 2 key), 144 image tokens, 6 layers."""
    torch.manual_seed(seed)
    vision = {
        "hidden_size": HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = {
        "hidden_size": HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": NUM_HEADS,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    config = llava_config(vision, text)
    model = LlavaForConditionalGeneration(config)
    # Larger weights than the usual 0.02, so that attention is far from uniform.
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.5 if "q_proj" in name else 0.15)
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    # Random models may write the image token, which a second forward pass would take for an image.
    ends = [config.image_token_index, config.text_config.eos_token_id]
    model.generation_config.suppress_tokens = ends
    return model


def tiny_adapter(seed: int = 0) -> VIFAdapter:
    """An adapter for `tiny_model` whose gates differ by question, layer and head."""
    torch.manual_seed(seed)
    adapter = VIFAdapter(replace(ADAPTER, slot_layers=2))
    torch.nn.init.normal_(adapter.gate_head[-1].weight, std=1.0)
    for layer in (adapter.pointer, adapter.anchor, adapter.relation):
        torch.nn.init.normal_(layer.weight, std=1.0)
    return adapter.eval()


def tiny_session() -> Session:
    """Both together."""
    return Session(Backbone(tiny_model(), build_processor(), "tiny"), tiny_adapter())


def save_tiny(folder: Path) -> Path:
    """Both in a folder, as ``model`` and ``adapter``."""
    tiny_model().save_pretrained(folder / "model")
    build_processor().save_pretrained(folder / "model")
    tiny_adapter().save_pretrained(folder / "adapter")
    return folder
