"""The bundled model's processor: a word-level tokenizer over the scenes' world, 192 px images."""

from __future__ import annotations

import re

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from vif.scenes.questions import GRID
from vif.scenes.text import all_sentences
from vif.scenes.wording import all_templates
from vif.scenes.world import COLOURS, GLYPHS, IMAGE_SIZE, SHAPES

PATCH_SIZE = 16
SIDE = IMAGE_SIZE // PATCH_SIZE
NUM_IMAGE_TOKENS = SIDE * SIDE
PAD, UNKNOWN, END, IMAGE, USER, ASSISTANT = (
    "<pad>", "<unk>", "<eos>", "<image>", "<user>", "<assistant>",
)  # fmt: skip
SPECIAL_TOKENS = (PAD, UNKNOWN, END, IMAGE, USER, ASSISTANT)
# Common openings; training puts them before some questions so that the model ignores them.
OPENINGS = (
    "please tell me:",
    "hey,",
    "can you help me?",
    "look at the picture.",
    "i would like to know:",
    "in this image,",
    "quick question:",
    "please answer.",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<assistant>{% else %}"
    "{% if message['content'] is not string %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% endif %}{% endfor %}{% endif %}<user>{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}<eos>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def vocabulary() -> list[str]:
    """All tokens in a fixed order, special ones first."""
    text = " ".join([*all_templates(), *all_sentences(), *OPENINGS]).lower()
    words = set(re.findall(r"\w+|[^\w\s]", re.sub(r"\{\w+\}", " ", text)))
    words |= {"a", "an", "the", "tiny", "object", "objects", "color", "yes", "no", "-", "'", "!"}
    words |= set(COLOURS) | set(SHAPES) | {f"{shape}s" for shape in SHAPES} | {"crosses"}
    words |= {glyph.lower() for glyph in GLYPHS} | set("0123456789")
    words |= {f"{column}{row + 1}" for column in "abcd" for row in range(GRID)}
    return [*SPECIAL_TOKENS, *sorted(words)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Lower-cases, splits at spaces and punctuation, maps unknown words to one token."""
    vocab = {word: i for i, word in enumerate(vocabulary())}
    core = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.add_special_tokens(list(SPECIAL_TOKENS))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        additional_special_tokens=[IMAGE, USER, ASSISTANT],
        padding_side="left",
        model_max_length=1024,
        extra_special_tokens={"image_token": IMAGE},
    )


def build_processor() -> LlavaProcessor:
    """The processor that is saved next to the bundled model."""
    side = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return LlavaProcessor(
        image_processor=SiglipImageProcessorPil(size=side),
        tokenizer=build_tokenizer(),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )
