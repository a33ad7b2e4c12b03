"""Random models in the shapes of real ones: measuring costs needs no trained weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from vif.adapter import VIFAdapter
from vif.adapter.config import VIFConfig
from vif.check import TINY, build
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.session import Session

# Of an adapter, as a share of its backbone's parameters.
ADAPTER_SHARE = 0.01


@dataclass(frozen=True)
class Shape:
    """Sizes of a language model that keeps the bundled model's tower and processor.

    Attributes:
        text: What differs in the configuration of the language model.
        image_tokens: How many an image has unless told otherwise; rounded to a square.
    """

    text: dict[str, int]
    image_tokens: int = 576


def _text(width: int, inner: int, heads: int, **more: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        **more,
    }


# A layer of the bundled model is so fast that the overhead of every operation shows.
LLAVA = {
    "wide": Shape(_text(512, 1408, 16)),
    "llava-7b": Shape(_text(4096, 11008, 32, num_hidden_layers=4, vocab_size=32064)),
}
# Whole, with the tower, tiles and tokens per tile of the published configuration.
SMOLVLM = "smolvlm-256m"
_SMOLVLM = replace(
    TINY["smolvlm"],
    options={"scale_factor": 4},
    text={
        **_text(576, 1536, 9, num_hidden_layers=30),
        "model_type": "llama",
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
    },
    vision={
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 512,
        "patch_size": 16,
    },
    image_options={"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}},
    processor_options={"image_seq_len": 64},
)
SHAPES = (*LLAVA, SMOLVLM)


def session_of_shape(
    name: str, session: Session, image_tokens: int | None = None, seed: int = 0
) -> Session:
    """A random model of a shape, with a random adapter of `ADAPTER_SHARE` of its parameters.

    ``wide`` is the bundled model at width 512 with 16 heads; ``llava-7b`` has the width, heads and
    vocabulary of LLaVA-1.5-7B and 4 of its 32 layers after the bundled model's small tower, which
    makes its ratios larger than those of the whole model; ``smolvlm-256m`` is SmolVLM-256M whole
    but for its vocabulary.

    Args:
        name: One of `SHAPES`.
        session: The bundled model, whose tower and processor the first two take.
        image_tokens: Of an image, in the first two; the nearest square number is taken.
        seed: Of all weights.

    Raises:
        InputError: If the shape is unknown, its base is no LLaVA, or it has no such number of
            image tokens.
    """
    if name not in SHAPES:
        raise InputError(f"Unknown shape {name!r}: expected one of {', '.join(SHAPES)}.")
    if name == SMOLVLM:
        if image_tokens is not None:
            raise InputError(f"{SMOLVLM} splits an image into tiles: remove --image-tokens.")
        model, processor = build(_SMOLVLM, seed)
    else:
        model, processor = _llava(LLAVA[name], session, image_tokens, seed)
    backbone = Backbone(model.eval(), processor, f"random model in the shape of {name}")
    return Session(backbone, adapter_for(backbone, seed))


def adapter_for(backbone: Backbone, seed: int = 0) -> VIFAdapter:
    """A random adapter whose width makes it about `ADAPTER_SHARE` of the backbone's parameters.

    It reads layer 1 and acts from layer 2 on, as the bundled one.
    """
    wanted = ADAPTER_SHARE * sum(p.numel() for p in backbone.model.parameters())

    def config(width: int) -> VIFConfig:
        return VIFConfig(
            hidden_size=backbone.model.config.get_text_config().hidden_size,
            num_layers=backbone.num_layers,
            num_heads=backbone.num_heads,
            width=width,
            num_components=8,
            image_layers=2,
            slot_layers=4,
            ffn_dim=2 * width,
            learning=(1, 1),
            injection=(2, backbone.num_layers - 1),
        )

    def distance(width: int) -> float:
        with torch.device("meta"):
            return abs(sum(p.numel() for p in VIFAdapter(config(width)).parameters()) - wanted)

    torch.manual_seed(seed)
    return VIFAdapter(config(min(range(32, 2049, 32), key=distance))).eval()


def _llava(
    shape: Shape, session: Session, image_tokens: int | None, seed: int
) -> tuple[nn.Module, Any]:
    backbone = session.backbone
    if backbone.model.config.model_type != "llava":
        raise InputError(
            f"{session.name} is not a LLaVA model: remove --shape to time the model itself."
        )
    side = round((image_tokens or shape.image_tokens) ** 0.5)
    config, processor = copy.deepcopy(backbone.model.config), copy.deepcopy(backbone.processor)
    text, vision = config.text_config, config.vision_config
    for name, value in shape.text.items():
        setattr(text, name, value)
    text.layer_types = ["full_attention"] * text.num_hidden_layers
    text.max_position_embeddings = max(text.max_position_embeddings, 2 * side * side)
    vision.image_size = side * vision.patch_size
    config.image_seq_length = side * side
    processor.image_processor.size = {"height": vision.image_size, "width": vision.image_size}
    torch.manual_seed(seed)
    model = type(backbone.model)(config)
    model.generation_config = copy.deepcopy(backbone.model.generation_config)
    # A random model may write the image token, which the next pass would take for an image.
    model.generation_config.suppress_tokens = [config.image_token_id]
    return model, processor
