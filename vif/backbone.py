"""A vision-language model by name or folder, and an image with a question as its prompt.

Knows nothing about interventions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor
from typing_extensions import override

from vif import attention, families
from vif.errors import InputError
from vif.text import clean_context, clean_question
from vif.trace import MASS_PARTS

IMAGE_PART, QUESTION_PART, ANSWER_PART, OTHER_PART = range(len(MASS_PARTS))


@dataclass(frozen=True)
class Prompt:
    """An image and a question as the model reads them.

    Attributes:
        inputs: What the processor made, batch size 1.
        layout: Where the image tokens lie.
        image: Positions of the image tokens, (N,).
        question: Positions of the question's own tokens.
        text: The question as it entered the prompt.
        context: The unrelated text before it.
    """

    inputs: dict[str, torch.Tensor]
    layout: families.Layout
    image: torch.Tensor
    question: range
    text: str
    context: str

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.inputs["input_ids"].shape[1]

    def parts(self) -> torch.Tensor:
        """What every position is, (S,), an index into `vif.trace.MASS_PARTS`."""
        parts = torch.full((self.length,), OTHER_PART)
        parts[self.image] = IMAGE_PART
        parts[self.question.start : self.question.stop] = QUESTION_PART
        return parts


class Backbone:
    """A loaded model with its processor; shared by all requests, changed by none."""

    def __init__(self, model: nn.Module, processor: Any, name: str) -> None:
        """Installs the attention function and checks that every layer goes through it.

        Raises:
            InputError: If the family is unknown or a layer does not report.
        """
        self.model, self.processor, self.name = model.eval(), processor, name
        self.family = families.find(model.config.model_type)
        self.text_config = model.config.get_text_config()
        self.uninstall = attention.install(model)
        self.image_token = processor.image_token
        self.image_token_id = model.config.image_token_id
        tokenizer = processor.tokenizer
        self.special_tokens = tuple(
            dict.fromkeys([*tokenizer.all_special_tokens, self.image_token])
        )
        _probe(self)

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return self.text_config.num_hidden_layers

    @property
    def num_heads(self) -> int:
        """Query heads per layer."""
        return self.text_config.num_attention_heads

    @property
    def device(self) -> torch.device:
        """Where prompts go."""
        return self.model.device

    @classmethod
    def load(
        cls, name_or_folder: str | Path, device: str | None = None, dtype: str | None = None
    ) -> Backbone:
        """Loads a checkpoint.

        Args:
            name_or_folder: Folder or Hub name.
            device: E.g. ``"cuda"``; a GPU if there is one by default.
            dtype: E.g. ``"bfloat16"``; float32 on a CPU, else the checkpoint's own by default.

        Raises:
            InputError: If it cannot be found or is no supported image-text-to-text model.
        """
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        chosen = dtype or ("float32" if device == "cpu" else "auto")
        name = str(name_or_folder)
        try:
            processor = AutoProcessor.from_pretrained(name)
            model = AutoModelForImageTextToText.from_pretrained(name, dtype=chosen)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"No vision-language model could be loaded from {name!r}: expected a folder or a "
                f"Hub name of an image-text-to-text model ({str(error).strip().splitlines()[0]})."
            ) from error
        return cls(model.to(device), processor, name)

    def encode(self, image: Image.Image, question: str, context: str = "") -> Prompt:
        """Puts an image and a question into the model's chat format.

        Args:
            image: RGB image.
            question: What a person typed.
            context: Unrelated text to put before it.

        Raises:
            InputError: If the question is empty or too long.
        """
        question = clean_question(question, self.special_tokens)
        context = clean_context(context, self.special_tokens)
        before = f"{context} " if context else ""
        rendered = self._render(before + question)
        inputs = dict(self.processor(text=[rendered], images=[image], return_tensors="pt"))
        ids = inputs["input_ids"][0]
        positions = torch.nonzero(ids == self.image_token_id).squeeze(1)
        layout = self.family.layout(self.model.config, self.processor, image.size, len(positions))
        to_start, to_end = self._question_span(rendered, self._render(before))
        asked = range(len(ids) - to_start, len(ids) - to_end)
        return Prompt(inputs, layout, positions, asked, question, context)

    def token_count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self._ids(text))

    def collate(self, prompts: list[Prompt]) -> dict[str, torch.Tensor]:
        """Prompts as one batch on the model's device, padded on the left."""
        longest = max(prompt.length for prompt in prompts)
        pad = self.processor.tokenizer.pad_token_id or 0
        batch: dict[str, list[torch.Tensor]] = {}
        for prompt in prompts:
            for name, tensor in prompt.inputs.items():
                if tensor.ndim == 2 and tensor.shape[1] == prompt.length:
                    fill = pad if name == "input_ids" else 0
                    tensor = nn.functional.pad(tensor, (longest - prompt.length, 0), value=fill)
                batch.setdefault(name, []).append(tensor)
        return {name: torch.cat(parts).to(self.device) for name, parts in batch.items()}

    def _ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _render(self, text: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": text}]
        message = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(message, add_generation_prompt=True)

    def _question_span(self, rendered: str, without: str) -> tuple[int, int]:
        """Start and end of the question as distances from the end of the prompt.

        Found by comparing with the same prompt without the question, so it needs no knowledge of
        the template; what the processor later expands lies before it.
        """
        ids, rest = self._ids(rendered), self._ids(without)
        head = _common(ids, rest)
        tail = min(_common(ids[::-1], rest[::-1]), len(rest) - head)
        return len(ids) - head, tail


def _common(a: list[int], b: list[int]) -> int:
    """Length of the common beginning."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


class _Probe(attention.Tap):
    def __init__(self) -> None:
        self.layers: set[int] = set()

    @override
    def wants(self, layer: int) -> bool:
        return True

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        self.layers.add(layer)


def _probe(backbone: Backbone) -> None:
    """One text-only forward that must report every layer; a model that does not fails closed."""
    probe = _Probe()
    ids = torch.tensor([backbone._ids("a b")], device=backbone.device)
    with torch.no_grad():
        backbone.model(input_ids=ids, **{attention.KEYWORD: probe})
    missing = sorted(set(range(backbone.num_layers)) - probe.layers)
    if missing:
        backbone.uninstall()
        raise InputError(
            f"{backbone.name} does not report the attention of layers {missing}: its attention "
            "cannot be recorded or steered here."
        )
