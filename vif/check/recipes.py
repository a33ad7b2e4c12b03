"""What makes each family's tiny model: the differences between them, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NUM_LAYERS, NUM_HEADS, HIDDEN = 6, 4, 32
PATCH, IMAGE = 14, 56
_TOKENS_PER_IMAGE = (IMAGE // PATCH) ** 2


@dataclass(frozen=True)
class Tiny:
    """How the tiny model of a family is made.

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


def _vision(model_type: str | None, **options: Any) -> dict[str, Any]:
    named = {} if model_type is None else {"model_type": model_type}
    sizes = {"hidden_size": HIDDEN, "intermediate_size": 64, "num_hidden_layers": 2}
    return {**named, **sizes, "num_attention_heads": 4, "image_size": IMAGE, **options}


_SQUARE = {"height": IMAGE, "width": IMAGE}
_CROPPED = {"size": {"shortest_edge": IMAGE}, "crop_size": _SQUARE}
_CLIP = _vision("clip_vision_model", patch_size=PATCH, projection_dim=HIDDEN)
_SIGLIP = _vision("siglip_vision_model", patch_size=PATCH, vision_use_head=False)
_PINPOINTS = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
# 60 is no multiple of 14: the last 4 pixels of a tile are seen by no token, as in the real model.
_ONEVISION_SIDE = 60
_ONEVISION_PINPOINTS = [[60 * rows, 60 * cols] for rows in range(1, 5) for cols in range(1, 5)]
_CLIP_PARTS = {"patch_size": PATCH, "vision_feature_select_strategy": "default"}
_QWEN_TOKENS = {
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
_QWEN_IMAGE = {"image_token": "<|image_pad|>", "tokens": _QWEN_TOKENS}
_QWEN_PLACEHOLDER = "<|vision_start|><|image_pad|><|vision_end|>"
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
_TILE_TOKENS = {
    name: f"<{name}>"
    for name in (
        "fake_token_around_image",
        "global-img",
        "end_of_utterance",
        *(f"row_{row}_col_{col}" for row in range(1, 7) for col in range(1, 7)),
    )
}
_GEMMA_TOKENS = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
_PALIGEMMA = {
    "config": "PaliGemmaConfig",
    "options": {"projection_dim": HIDDEN, "hidden_size": HIDDEN},
    "vision": {**_SIGLIP, "projection_dim": HIDDEN},
    "image_processor": ("siglip", "SiglipImageProcessorPil"),
    "image_options": {"size": _SQUARE, "image_seq_length": _TOKENS_PER_IMAGE},
    "has_template": False,
}


# Every third layer attends, as every fourth does in the real models; the others are recurrent.
_LINEAR = {
    "layer_types": ["linear_attention", "linear_attention", "full_attention"] * (NUM_LAYERS // 3),
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_QWEN3_5_VISION = {
    "depth": 2,
    "intermediate_size": 64,
    "out_hidden_size": HIDDEN,
    "num_position_embeddings": 16,
}
_QWEN3_VISION = _QWEN3_5_VISION | {"depth": 3, "deepstack_visual_indexes": [0, 1]}
_QWEN3_5_ROPE = {"mrope_interleaved": True, "partial_rotary_factor": 1.0}


def _qwen(
    config: str,
    text: str,
    patch: int,
    vision: dict[str, Any],
    more: dict[str, Any] | None = None,
    **rope: Any,
) -> Tiny:
    factor = (2 * patch) ** 2
    sizes = {"patch_size": patch, "spatial_merge_size": 2, "temporal_patch_size": 2}
    return Tiny(
        config,
        {},
        {"model_type": text, "rope_parameters": _ROPE | rope, **(more or {})},
        {**sizes, "num_heads": 4, "hidden_size": HIDDEN, **vision},
        ("qwen2_vl", "Qwen2VLImageProcessorPil"),
        {
            "size": {"shortest_edge": 4 * factor, "longest_edge": 24 * factor},
            "patch_size": patch,
        },
        placeholder=_QWEN_PLACEHOLDER,
        **_QWEN_IMAGE,
    )


def _glm(config: str, text: str, vision: str) -> Tiny:
    factor = (2 * PATCH) ** 2
    folder, name = config.removesuffix("Config").lower(), config.removesuffix("Config")
    return Tiny(
        config,
        {},
        {"model_type": text, "rope_parameters": _ROPE | {"mrope_section": [2, 1, 1]}},
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


def _split(name: str, edge: int) -> Tiny:
    """SmolVLM and Idefics 3: tiles of 32 pixels, 4 x 4 tokens each."""
    folder = name.lower()
    return Tiny(
        f"{name}Config",
        {"scale_factor": 2},
        {"model_type": "llama"},
        _vision(None, image_size=32, patch_size=4),
        (folder, f"{name}ImageProcessorPil"),
        {"size": {"longest_edge": edge}, "max_image_size": {"longest_edge": 32}},
        tokens=_TILE_TOKENS,
        processor_options={"image_seq_len": 16},
    )


TINY = {
    "llava": Tiny(
        "LlavaConfig",
        {"image_seq_length": _TOKENS_PER_IMAGE},
        {"model_type": "llama"},
        _CLIP,
        ("clip", "CLIPImageProcessorPil"),
        _CROPPED,
        processor_options=_CLIP_PARTS | {"num_additional_image_tokens": 1},
    ),
    "vipllava": Tiny(
        "VipLlavaConfig",
        {"vision_feature_layers": [-1, -2]},
        {"model_type": "llama"},
        _CLIP,
        ("clip", "CLIPImageProcessorPil"),
        _CROPPED,
        processor_options=_CLIP_PARTS | {"num_additional_image_tokens": 1},
    ),
    "llava_next": Tiny(
        "LlavaNextConfig",
        {"image_grid_pinpoints": _PINPOINTS, "image_seq_length": _TOKENS_PER_IMAGE},
        {"model_type": "mistral", "sliding_window": None},
        _CLIP,
        ("llava_next", "LlavaNextImageProcessorPil"),
        {**_CROPPED, "image_grid_pinpoints": _PINPOINTS},
        processor_options=_CLIP_PARTS | {"num_additional_image_tokens": 1},
    ),
    "llava_onevision": Tiny(
        "LlavaOnevisionConfig",
        {"image_grid_pinpoints": _ONEVISION_PINPOINTS, "vision_feature_layer": -1},
        {"model_type": "qwen2"},
        {**_SIGLIP, "image_size": _ONEVISION_SIDE},
        ("llava_onevision", "LlavaOnevisionImageProcessorPil"),
        {
            "size": {"height": _ONEVISION_SIDE, "width": _ONEVISION_SIDE},
            "image_grid_pinpoints": _ONEVISION_PINPOINTS,
        },
        tokens={"video_token": "<video>"},
        processor_options={
            "num_image_tokens": _TOKENS_PER_IMAGE,
            "vision_feature_select_strategy": "full",
        },
    ),
    "qwen2_vl": _qwen(
        "Qwen2VLConfig", "qwen2_vl_text", 14, {"depth": 2, "embed_dim": HIDDEN, "mlp_ratio": 2}
    ),
    "qwen2_5_vl": _qwen(
        "Qwen2_5_VLConfig",
        "qwen2_5_vl_text",
        14,
        {
            "depth": 2,
            "intermediate_size": 64,
            "window_size": 56,
            "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [1],
        },
    ),
    "qwen3_vl": _qwen(
        "Qwen3VLConfig",
        "qwen3_vl_text",
        16,
        _QWEN3_VISION,
        mrope_interleaved=True,
    ),
    "qwen3_vl_moe": _qwen(
        "Qwen3VLMoeConfig",
        "qwen3_vl_moe_text",
        16,
        _QWEN3_VISION,
        more=_EXPERTS | {"decoder_sparse_step": 2},
        mrope_interleaved=True,
    ),
    "qwen3_5": _qwen(
        "Qwen3_5Config", "qwen3_5_text", 16, _QWEN3_5_VISION, more=_LINEAR, **_QWEN3_5_ROPE
    ),
    "qwen3_5_moe": _qwen(
        "Qwen3_5MoeConfig",
        "qwen3_5_moe_text",
        16,
        _QWEN3_5_VISION,
        more=_LINEAR | _EXPERTS | {"shared_expert_intermediate_size": 32},
        **_QWEN3_5_ROPE,
    ),
    "glm4v": _glm("Glm4vConfig", "glm4v_text", "glm4v_vision"),
    "glm46v": _glm("Glm46VConfig", "glm4v_text", "glm4v_vision"),
    "paddleocr_vl": Tiny(
        "PaddleOCRVLConfig",
        {},
        {"model_type": "paddleocr_vl_text", "rope_parameters": _ROPE},
        _vision(None, patch_size=PATCH, spatial_merge_size=2),
        ("paddleocr_vl", "PaddleOCRVLImageProcessorPil"),
        {"size": {"shortest_edge": 4 * (2 * PATCH) ** 2, "longest_edge": 24 * (2 * PATCH) ** 2}},
        image_token="<|IMAGE_PLACEHOLDER|>",
        placeholder="<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>",
        tokens={
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|IMAGE_START|>",
            "vision_end_token": "<|IMAGE_END|>",
        },
    ),
    "video_llama_3": Tiny(
        "VideoLlama3Config",
        {},
        {"model_type": "qwen2"},
        _vision("video_llama_3_vision", patch_size=PATCH),
        ("video_llama_3", "VideoLlama3ImageProcessorPil"),
        {"size": {"shortest_edge": 4 * PATCH**2, "longest_edge": 36 * PATCH**2}},
        image_token="<|image_pad|>",
        placeholder="<|image_pad|>",
        tokens={"video_token": "<|video_pad|>"},
    ),
    "exaone4_5": Tiny(
        "Exaone4_5_Config",
        {},
        {
            "model_type": "exaone4",
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]
            * (NUM_LAYERS // 3),
        },
        {
            "model_type": "exaone4_5_vision",
            "depth": 2,
            "hidden_size": HIDDEN,
            "intermediate_size": 64,
            "num_heads": 4,
            "num_key_value_heads": 2,
            "patch_size": PATCH,
            "window_size": 4 * PATCH,
            "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [1],
        },
        ("qwen2_vl", "Qwen2VLImageProcessorPil"),
        {
            "size": {"shortest_edge": 4 * (2 * PATCH) ** 2, "longest_edge": 24 * (2 * PATCH) ** 2},
            "patch_size": PATCH,
        },
        placeholder=_QWEN_PLACEHOLDER,
        **_QWEN_IMAGE,
    ),
    "smolvlm": _split("SmolVLM", 96),
    # 80 is no multiple of 32: the sizes are rounded twice, as with many real images.
    "idefics3": _split("Idefics3", 80),
    "internvl": Tiny(
        "InternVLConfig",
        {"image_seq_length": 4, "downsample_ratio": 0.5},
        {"model_type": "qwen2"},
        _vision(None, image_size=[IMAGE, IMAGE], patch_size=[PATCH, PATCH]),
        ("got_ocr2", "GotOcr2ImageProcessorPil"),
        {"size": _SQUARE, "crop_to_patches": True, "min_patches": 1, "max_patches": 6},
        image_token="<IMG_CONTEXT>",
        placeholder="<IMG_CONTEXT>",
        tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        processor_options={"image_seq_length": 4},
    ),
    "aya_vision": Tiny(
        "AyaVisionConfig",
        {"downsample_factor": 2, "vision_feature_layer": -1},
        {"model_type": "cohere2", "sliding_window": 16},
        _SIGLIP,
        ("got_ocr2", "GotOcr2ImageProcessorPil"),
        {"size": _SQUARE, "crop_to_patches": True, "min_patches": 1, "max_patches": 6},
        image_token="<|IMG_PATCH|>",
        placeholder="<image>",
        tokens={
            "whole_image": "<image>",
            "start": "<|START_OF_IMG|>",
            "end": "<|END_OF_IMG|>",
            "line": "<|IMG_LINE_BREAK|>",
            "global": "TILE_GLOBAL",
            **{f"tile_{i}": f"TILE_{i}" for i in range(1, 8)},
        },
        processor_options={"patch_size": PATCH, "downsample_factor": 2, "img_size": IMAGE},
    ),
    "ovis2": Tiny(
        "Ovis2Config",
        {"hidden_size": HIDDEN, "visual_indicator_token_ids": [8, 9, 10, 11, 12]},
        {"model_type": "qwen2"},
        _vision(None, patch_size=PATCH, hidden_stride=2, vocab_size=48),
        ("ovis2", "Ovis2ImageProcessorPil"),
        {"size": _SQUARE, "crop_to_patches": True, "max_patches": 6},
        image_token="<IMG_ATOM>",
        placeholder="<image>",
        tokens={
            "whole_image": "<image>",
            **{name: f"<IMG_{name}>" for name in ("START", "GRID", "COL", "ROW", "END")},
        },
        processor_options={"image_seq_length": 4},
    ),
    "gemma3": Tiny(
        "Gemma3Config",
        {"mm_tokens_per_image": 4},
        {
            "model_type": "gemma3_text",
            "query_pre_attn_scalar": 8,
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"] * (NUM_LAYERS // 2),
        },
        _SIGLIP,
        ("gemma3", "Gemma3ImageProcessorPil"),
        {"size": _SQUARE},
        image_token="<image_soft_token>",
        placeholder="<start_of_image>",
        tokens=_GEMMA_TOKENS,
        processor_options={"image_seq_length": 4},
    ),
    "gemma4": Tiny(
        "Gemma4Config",
        {"audio_config": None},
        {
            "model_type": "gemma4_text",
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"] * (NUM_LAYERS // 2),
            "num_kv_shared_layers": 2,
            "hidden_size_per_layer_input": 8,
            "use_bidirectional_attention": "vision",
            "global_head_dim": 2 * HIDDEN // NUM_HEADS,
        },
        {
            "model_type": "gemma4_vision",
            "hidden_size": HIDDEN,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 8,
            "patch_size": 4,
            "pooling_kernel_size": 2,
            "position_embedding_size": 512,
        },
        ("gemma4", "Gemma4ImageProcessorPil"),
        {"patch_size": 4, "pooling_kernel_size": 2, "max_soft_tokens": 70},
        image_token="<|image|>",
        placeholder="<|image|>",
        tokens={
            "boi_token": "<|image>",
            "eoi_token": "<image|>",
            "audio_token": "<|audio|>",
            "boa_token": "<|audio>",
            "eoa_token": "<audio|>",
            "video_token": "<|video|>",
        },
        processor_options={"image_seq_length": 70},
    ),
    "paligemma": Tiny(text={"model_type": "gemma"}, **_PALIGEMMA),
    "paligemma2": Tiny(
        text={
            "model_type": "gemma2",
            "query_pre_attn_scalar": 8,
            "sliding_window": 24,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": None,
        },
        **_PALIGEMMA,
    ),
    "mistral3": Tiny(
        "Mistral3Config",
        {"spatial_merge_size": 2},
        {"model_type": "mistral", "sliding_window": None},
        _vision("pixtral", image_size=6 * 28, patch_size=PATCH, head_dim=8),
        ("pixtral", "PixtralImageProcessorPil"),
        {"size": {"longest_edge": 6 * 28}},
        image_token="[IMG]",
        placeholder="[IMG]",
        tokens={"image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"},
        processor_options={"patch_size": PATCH, "spatial_merge_size": 2},
    ),
}
