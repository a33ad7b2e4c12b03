"""A tiny random model of every family, with a processor to match: nothing is downloaded.

The models are made by transformers' own classes and the images go through transformers' own image
processors, so that what is checked here is what a real checkpoint meets. The bundled model, which
has a processor of this project, is built by training/pretrain instead.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import AutoModelForImageTextToText, PreTrainedTokenizerFast, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from vif.adapter import VIFAdapter
from vif.adapter.config import VIFConfig
from vif.check.recipes import TINY
from vif.check.tiny import HIDDEN, NUM_HEADS, NUM_LAYERS, TinyRecipe
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.model.checkpoints.processors import processor_class

PAD, UNKNOWN, BEGIN, END, USER, ASSISTANT = (
    "<pad>", "<unk>", "<bos>", "<eos>", "<user>", "<assistant>",
)  # fmt: skip
# Fits every tiny model: all have the same width, depth and number of heads.
ADAPTER = VIFConfig(
    hidden_size=HIDDEN,
    num_layers=NUM_LAYERS,
    num_heads=NUM_HEADS,
    width=16,
    num_components=3,
    image_layers=1,
    slot_layers=1,
    latent_heads=2,
    ffn_dim=32,
    learning=(1, 2),
    injection=(3, 5),
)
_WORDS = """
what which where is the a an of in on to and or not it this that colour shape size small large red
green blue yellow black white circle square star ring heart left right above below near far how many
are there can you see picture object tiny big old new first last ? . , yes no one two three four
"""


def tiny_backbone(
    name: str, dtype: torch.dtype = torch.float32, device: str = "cpu", seed: int = 0
) -> Backbone:
    """A tiny model of a family, ready to be asked.

    Args:
        name: A family in `TINY`.
        dtype: Of its weights.
        device: Where they lie.
        seed: Of their random values.
    """
    model, processor = build(name, seed)
    return Backbone(model.to(device, dtype), processor, f"tiny {name}")


def build(family: str | TinyRecipe, seed: int = 0) -> tuple[nn.Module, ProcessorMixin]:
    """A random model of a family, tiny or as the recipe has it, and its processor.

    Args:
        family: A name in `TINY`, or a recipe.
        seed: Of all weights.

    Raises:
        InputError: If the name is unknown.
    """
    if isinstance(family, str) and family not in TINY:
        raise InputError(f"Unknown family {family!r}: expected one of {', '.join(TINY)}.")
    recipe = TINY[family] if isinstance(family, str) else family
    processor = _processor(recipe)
    return _model(recipe, processor.tokenizer, seed), processor


def tiny_adapter(seed: int = 0) -> VIFAdapter:
    """An adapter for any tiny model, whose gates differ by question, layer and head."""
    torch.manual_seed(seed)
    adapter = VIFAdapter(ADAPTER)
    last = adapter.gate_head[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=1.0)
    nn.init.normal_(adapter.pointer.weight, std=1.0)
    return adapter.eval()


def _model(recipe: TinyRecipe, tokenizer: Any, seed: int) -> nn.Module:
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": NUM_HEADS,
        "num_key_value_heads": 2,
        "head_dim": HIDDEN // NUM_HEADS,
        "max_position_embeddings": 1024,
        "pad_token_id": tokenizer.convert_tokens_to_ids(PAD),
        "bos_token_id": tokenizer.convert_tokens_to_ids(BEGIN),
        "eos_token_id": tokenizer.convert_tokens_to_ids(END),
    }
    # The configurations call their special tokens ..._token_id or, in older families, ..._index.
    ids = {
        f"{name.removesuffix('_token')}_token_{suffix}": tokenizer.convert_tokens_to_ids(token)
        for name, token in {"image": recipe.image_token, **recipe.tokens}.items()
        if name.endswith("_token") or name == "image"
        for suffix in ("id", "index")
    }
    made = getattr(transformers, recipe.config)
    known = {key: value for key, value in ids.items() if _takes(made, key)}
    config = made(
        text_config={**text, **recipe.text}, vision_config=recipe.vision, **recipe.options, **known
    )
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config)
    # Larger weights than the usual 0.02, so that attention is far from uniform.
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            is_pointing = name.endswith(("q_proj.weight", "k_proj.weight"))
            nn.init.normal_(parameter, std=0.25 if is_pointing else 0.15)
    # A random model may write an image token, which a second forward would take for an image.
    model.generation_config.suppress_tokens = sorted(set(tokenizer.all_special_ids))
    model.generation_config.pad_token_id = text["pad_token_id"]
    model.generation_config.do_sample, model.generation_config.temperature = True, 2.0
    return model


def _takes(config_class: type, name: str) -> bool:
    fields = getattr(config_class, "__dataclass_fields__", {})
    return name in fields


def _processor(recipe: TinyRecipe) -> ProcessorMixin:
    module, image_class = recipe.image_processor
    # A few image processors exist with torchvision alone, all others with Pillow too.
    kind = "image_processing_pil" if image_class.endswith("Pil") else "image_processing"
    folder = importlib.import_module(f"transformers.models.{module}.{kind}_{module}")
    image_processor = getattr(folder, image_class)(**recipe.image_options)
    if "image_seq_length" in recipe.image_options:
        image_processor.image_seq_length = recipe.image_options["image_seq_length"]
    config = getattr(transformers, recipe.config)
    known = processor_class(config, recipe.vision.get("model_type"))
    made: Any = known or PROCESSOR_MAPPING[config]
    parts = dict.fromkeys(getattr(made, "parts", ()))
    parts |= {"image_processor": image_processor, "tokenizer": _tokenizer(recipe)}
    template = _template(recipe) if recipe.has_template else None
    return made(**parts, chat_template=template, **recipe.processor_options)


def _tokenizer(recipe: TinyRecipe) -> PreTrainedTokenizerFast:
    """Words of a small vocabulary; the beginning is marked as Llama's and Gemma's tokenizers do."""
    special = [
        PAD,
        UNKNOWN,
        BEGIN,
        END,
        USER,
        ASSISTANT,
        recipe.image_token,
        *recipe.tokens.values(),
    ]
    special = list(dict.fromkeys(special))
    vocab = {word: i for i, word in enumerate([*special, *_WORDS.split()])}
    core = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, vocab[BEGIN])]
    )
    core.add_special_tokens(special)
    named = {name: token for name, token in recipe.tokens.items() if name.endswith("_token")}
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=special,
        padding_side="left",
        extra_special_tokens={"image_token": recipe.image_token, **named},
    )


def _template(recipe: TinyRecipe) -> str:
    """A chat template; it writes the beginning itself, as those of most families do."""
    return (
        "{{ bos_token }}{% for message in messages %}{% for part in message['content'] %}"
        f"{{% if part['type'] == 'image' %}}{recipe.placeholder}"
        f"{{% elif message['role'] == 'assistant' %}} {ASSISTANT} {{{{ part['text'] }}}}"
        f"{{% else %}}{USER} {{{{ part['text'] }}}}{{% endif %}}"
        "{% endfor %}{% endfor %}"
        f"{{% if add_generation_prompt %}} {ASSISTANT}{{% endif %}}"
    )
