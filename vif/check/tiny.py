"""What a tiny model is made of, and the parts that several families share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NUM_LAYERS, NUM_HEADS, HIDDEN = 6, 4, 32
PATCH, IMAGE = 14, 56
TOKENS_PER_IMAGE = (IMAGE // PATCH) ** 2


@dataclass(frozen=True)
class TinyRecipe:
    """How a model of a family is made.

    Attributes:
        config: Name of the configuration class in transformers.
        options: Its arguments besides the two parts.
        text: What is special about its language model.
        vision: Its vision tower.
        image_processor: Module under ``transformers.models`` and class.
        image_options: Arguments of the image processor.
        image_token: The image token; one prompt holds one before it is expanded.
        placeholder: What the chat template writes for an image.
        tokens: Further special tokens, with the tokenizer's attribute for each.
        processor_options: Arguments of the processor.
        has_template: False for checkpoints that come without a chat template.
    """

    config: str
    options: dict[str, Any]
    text: dict[str, Any]
    vision: dict[str, Any]
    image_processor: tuple[str, str]
    image_options: dict[str, Any]
    image_token: str = "<image>"
    placeholder: str = "<image>"
    tokens: dict[str, str] = field(default_factory=dict)
    processor_options: dict[str, Any] = field(default_factory=dict)
    has_template: bool = True


def vision(model_type: str | None, **options: Any) -> dict[str, Any]:
    """A vision tower of two layers; `options` replace and add arguments of its configuration."""
    named = {} if model_type is None else {"model_type": model_type}
    sizes = {"hidden_size": HIDDEN, "intermediate_size": 64, "num_hidden_layers": 2}
    return {**named, **sizes, "num_attention_heads": 4, "image_size": IMAGE, **options}


SQUARE = {"height": IMAGE, "width": IMAGE}
CROPPED = {"size": {"shortest_edge": IMAGE}, "crop_size": SQUARE}
CLIP = vision("clip_vision_model", patch_size=PATCH, projection_dim=HIDDEN)
SIGLIP = vision("siglip_vision_model", patch_size=PATCH, vision_use_head=False)
PINPOINTS = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
# 60 is no multiple of 14: the last 4 pixels of a tile are seen by no token, as in the real model.
ONEVISION_SIDE = 60
ONEVISION_PINPOINTS = [[60 * rows, 60 * cols] for rows in range(1, 5) for cols in range(1, 5)]
CLIP_PARTS = {"patch_size": PATCH, "vision_feature_select_strategy": "default"}
QWEN_TOKENS = {
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
QWEN_IMAGE = {"image_token": "<|image_pad|>", "tokens": QWEN_TOKENS}
QWEN_PLACEHOLDER = "<|vision_start|><|image_pad|><|vision_end|>"
ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
TILE_TOKENS = {
    name: f"<{name}>"
    for name in (
        "fake_token_around_image",
        "global-img",
        "end_of_utterance",
        *(f"row_{row}_col_{col}" for row in range(1, 7) for col in range(1, 7)),
    )
}
GEMMA_TOKENS = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
PALIGEMMA = {
    "config": "PaliGemmaConfig",
    "options": {"projection_dim": HIDDEN, "hidden_size": HIDDEN},
    "vision": {**SIGLIP, "projection_dim": HIDDEN},
    "image_processor": ("siglip", "SiglipImageProcessorPil"),
    "image_options": {"size": SQUARE, "image_seq_length": TOKENS_PER_IMAGE},
    "has_template": False,
}


# Every third layer attends, as every fourth does in the real models; the others are recurrent.
LINEAR = {
    "layer_types": ["linear_attention", "linear_attention", "full_attention"] * (NUM_LAYERS // 3),
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
QWEN3_5_VISION = {
    "depth": 2,
    "intermediate_size": 64,
    "out_hidden_size": HIDDEN,
    "num_position_embeddings": 16,
}
QWEN3_VISION = QWEN3_5_VISION | {"depth": 3, "deepstack_visual_indexes": [0, 1]}
QWEN3_5_ROPE = {"mrope_interleaved": True, "partial_rotary_factor": 1.0}


def qwen(
    config: str,
    text: str,
    patch: int,
    vision: dict[str, Any],
    more: dict[str, Any] | None = None,
    **rope: Any,
) -> TinyRecipe:
    """Qwen-VL: tokens of 2 x 2 patches, positions in three parts; `rope` adds to the latter."""
    factor = (2 * patch) ** 2
    sizes = {"patch_size": patch, "spatial_merge_size": 2, "temporal_patch_size": 2}
    return TinyRecipe(
        config,
        {},
        {"model_type": text, "rope_parameters": ROPE | rope, **(more or {})},
        {**sizes, "num_heads": 4, "hidden_size": HIDDEN, **vision},
        ("qwen2_vl", "Qwen2VLImageProcessorPil"),
        {
            "size": {"shortest_edge": 4 * factor, "longest_edge": 24 * factor},
            "patch_size": patch,
        },
        placeholder=QWEN_PLACEHOLDER,
        **QWEN_IMAGE,
    )


def glm(config: str, text: str, vision: str) -> TinyRecipe:
    """GLM-V: tokens of 2 x 2 patches between marks of the beginning and the end of an image."""
    factor = (2 * PATCH) ** 2
    folder, name = config.removesuffix("Config").lower(), config.removesuffix("Config")
    return TinyRecipe(
        config,
        {},
        {"model_type": text, "rope_parameters": ROPE | {"mrope_section": [2, 1, 1]}},
        {
            "model_type": vision,
            "depth": 2,
            "hidden_size": HIDDEN,
            "num_heads": 4,
            "image_size": IMAGE,
            "patch_size": PATCH,
            "intermediate_size": 64,
            "out_hidden_size": HIDDEN,
        },
        (folder, f"{name}ImageProcessorPil"),
        {"size": {"shortest_edge": 8 * factor, "longest_edge": 48 * factor}},
        image_token="<|image|>",
        placeholder="<|begin_of_image|><|image|><|end_of_image|>",
        tokens={
            "video_token": "<|video|>",
            "image_start_token": "<|begin_of_image|>",
            "image_end_token": "<|end_of_image|>",
            "video_start_token": "<|begin_of_video|>",
            "video_end_token": "<|end_of_video|>",
        },
    )


def split(name: str, edge: int) -> TinyRecipe:
    """SmolVLM and Idefics 3: tiles of 32 pixels, 4 x 4 tokens each."""
    folder = name.lower()
    return TinyRecipe(
        f"{name}Config",
        {"scale_factor": 2},
        {"model_type": "llama"},
        vision(None, image_size=32, patch_size=4),
        (folder, f"{name}ImageProcessorPil"),
        {"size": {"longest_edge": edge}, "max_image_size": {"longest_edge": 32}},
        tokens=TILE_TOKENS,
        processor_options={"image_seq_len": 16},
    )
