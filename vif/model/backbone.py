"""A vision-language model by name or folder, and an image with a question as its prompt.

Knows nothing about interventions. One class, so that everything that a model is asked for is in one
place.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from typing_extensions import Unpack

from vif.errors import InputError
from vif.inputs.text import clean_context, clean_question
from vif.model import families
from vif.model.checkpoints.loading import LoadOptions, load_checkpoint
from vif.model.prompt import Prompt, pad_left, question_span
from vif.model.requirements import find_image_token, install, layers_that_report
from vif.model.types import VisionLanguageModel


class Backbone:
    """A loaded model with its processor; shared by all requests, changed by none.

    Attributes:
        attention_layers: Layers with softmax attention, in order; the others, linear attention or
            convolutions, have no rows to record or to steer.
    """

    def __init__(
        self, model: VisionLanguageModel, processor: Any, name: str, allow_unlisted: bool = False
    ) -> None:
        """Installs the attention function and checks that every layer goes through it.

        Args:
            model: The model.
            processor: Its processor.
            name: What a person calls it.
            allow_unlisted: As in `vif.model.families.find`; who sets it has to prove the layout.

        Raises:
            InputError: If the family is unknown or a layer does not report.
        """
        self.model: VisionLanguageModel = model.eval()
        self.processor, self.name = processor, name
        self.family = families.find(model.config.model_type, allow_unlisted)
        self.text_config = model.config.get_text_config()
        tokenizer = processor.tokenizer
        self.image_token_id = find_image_token(model.config, processor, name)
        image_tokens = [getattr(part, "image_token", None) for part in (processor, tokenizer)]
        special = [*tokenizer.all_special_tokens, *filter(None, image_tokens)]
        self.special_tokens = tuple(dict.fromkeys(special))
        self.uninstall = install(model, name)
        try:
            ids = torch.tensor([self._ids("a b")], device=self.device)
            self.attention_layers = layers_that_report(model, name, ids)
        except InputError:
            self.uninstall()
            raise

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return self.text_config.num_hidden_layers

    @property
    def layers_to_steer(self) -> tuple[int, ...] | None:
        """`attention_layers` where some layers have none, else None: all of them can be steered."""
        is_full = len(self.attention_layers) == self.num_layers
        return None if is_full else self.attention_layers

    @property
    def reads_image_once(self) -> bool:
        """Whether keys and values of the image, layer by layer, are all that text needs of it."""
        shares_keys = getattr(self.text_config, "num_kv_shared_layers", 0)
        is_apart = not self.family.reads_together
        return self.layers_to_steer is None and not shares_keys and is_apart

    @property
    def num_heads(self) -> int:
        """Query heads per layer."""
        return self.text_config.num_attention_heads

    @property
    def device(self) -> torch.device:
        """Device of the first layer, where prompts are put."""
        return self.model.device

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        allow_unlisted: bool = False,
        **options: Unpack[LoadOptions],
    ) -> Backbone:
        """Loads a checkpoint; arguments as in `vif.model.checkpoints.loading.load_checkpoint`.

        Raises:
            InputError: If it cannot be found or is not a supported image-text-to-text model.
        """
        model, processor = load_checkpoint(name_or_folder, **options)
        # Visitors see this name, so it must not tell where the folder lies on the server.
        folder = Path(name_or_folder)
        name = folder.resolve().name if folder.is_dir() else str(name_or_folder)
        return cls(model, processor, name, allow_unlisted)

    def encode(
        self,
        image: Image.Image,
        question: str,
        context: str = "",
        others: Sequence[Image.Image] = (),
        place: int = 0,
    ) -> Prompt:
        """Puts an image and a question into the model's chat format.

        Args:
            image: RGB image.
            question: What a person typed.
            context: Unrelated text to put before it.
            others: Other images to show beside it.
            place: How many of them come before the image.

        Raises:
            InputError: If the question is empty or too long, an image cannot be read, or the model
                takes one image only.
        """
        question = clean_question(question, self.special_tokens)
        context = clean_context(context, self.special_tokens)
        before = f"{context} " if context else ""
        images = [*others[:place], image, *others[place:]]
        rendered = self.render(before + question, len(images))
        inputs = self.process(rendered, *images)
        ids = inputs["input_ids"][0]
        self._check_length(len(ids))
        positions = torch.nonzero(ids == self.image_token_id).squeeze(1)
        start, number, visual = 0, len(positions), inputs
        if others:
            start, number, visual = self._own_tokens(images, place, len(positions))
        picture = families.Picture(self.model.config, self.processor, image.size, visual, number)
        without = self._ids(self.render(before, len(images)))
        asked = question_span(self._ids(rendered), without, ids.tolist())
        if asked is None:
            raise InputError(
                f"The question cannot be found in the prompt that {self.name} makes of it."
            )
        end = start + number
        return Prompt(
            inputs,
            self.family.layout(picture),
            positions[start:end],
            asked,
            question,
            context,
            tuple(others),
            place,
            torch.cat([positions[:start], positions[end:]]),
        )

    def vary(
        self,
        prompt: Prompt,
        image: Image.Image,
        text: str | None = None,
        context: str | None = None,
    ) -> Prompt:
        """A prompt with another image in its image's place, or with other words.

        Args:
            prompt: What else it holds stays: its other images and, where None is given, its words.
            image: RGB image.
            text: Another question.
            context: Another text before it.
        """
        text = prompt.text if text is None else text
        context = prompt.context if context is None else context
        return self.encode(image, text, context, prompt.others, prompt.place)

    def _own_tokens(
        self, images: Sequence[Image.Image], place: int, number: int
    ) -> tuple[int, int, dict[str, torch.Tensor]]:
        """Which image tokens are those of one image among several.

        How many tokens an image has among others is told by showing it beside itself: some families
        cut an image into tiles only when it comes alone.

        Args:
            images: All images of a prompt.
            place: Which one.
            number: Image tokens of the prompt.

        Returns:
            Image tokens before it, its own, and what the processor made of it beside itself.

        Raises:
            InputError: If it cannot be told.
        """
        # The number of tokens follows from the size, so that the frames of a video count once.
        counts: dict[tuple[int, int], int] = {}
        visual: dict[str, torch.Tensor] = {}
        rendered = self.render("?", 2)
        for image in [images[place], *images]:
            if image.size not in counts:
                twice = self.process(rendered, image, image)
                both = int((twice["input_ids"] == self.image_token_id).sum())
                counts[image.size], visual = both // 2, visual or twice
        found = [counts[image.size] for image in images]
        if sum(found) != number:
            raise InputError(
                f"The prompt holds {number} image tokens, but its {len(images)} images should make "
                f"{sum(found)} for {self.name}: which are whose is not known. Ask about one image."
            )
        return sum(found[:place]), found[place], visual

    def process(self, rendered: str, *images: Image.Image) -> dict[str, torch.Tensor]:
        """Runs the processor on a prompt and its images, in their order."""
        if len(images) > 1 and not self.family.takes_several:
            raise InputError(
                f"{len(images)} images were given, but models of type {self.family.model_type!r} "
                "take one image per question: leave the others out, or choose another model."
            )
        for image in images:
            if reason := self.family.refuses(self.processor, image.size):
                raise InputError(f"The image of {image.width} x {image.height} pixels {reason}.")
        # Most chat templates write the beginning token themselves; a second one changes the answer.
        begin = self.processor.tokenizer.bos_token
        add_special_tokens = begin is None or not rendered.startswith(begin)
        made = self.processor(
            text=[rendered],
            images=[[*images]] if len(images) > 1 else [*images],
            return_tensors="pt",
            add_special_tokens=add_special_tokens,
        )
        return {name: tensor for name, tensor in made.items() if name != "labels"}

    def _check_length(self, length: int) -> None:
        most = getattr(self.text_config, "max_position_embeddings", None)
        if most is not None and length >= most:
            raise InputError(
                f"The prompt has {length:,} tokens with its image and this model reads at most "
                f"{most:,}: shorten the text or shrink the image."
            )

    def token_count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self._ids(text))

    def collate(self, prompts: list[Prompt]) -> dict[str, torch.Tensor]:
        """Prompts as one batch on the model's device, padded on the left."""
        padding = self.processor.tokenizer.pad_token_id or 0
        batch = pad_left(prompts, padding, self.model.dtype)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def answer_ids(self, answer: str | None) -> list[int]:
        """Tokens of an answer as the model would say it, one at least, without an end token.

        Raises:
            InputError: If the answer has no tokens, or holds something the model cannot say.
        """
        words = clean_context(answer, self.special_tokens)
        ids = self._ids(words)
        if not ids:
            raise InputError("The answer is empty: type at least one word, for example 'red'.")
        if getattr(self.processor.tokenizer, "unk_token_id", None) in ids:
            raise InputError(
                f"{self.name} has no token for a word of the answer "
                f"{textwrap.shorten(words, 40, placeholder='…')!r}: use words that "
                "it has, for example one of its own answers."
            )
        return ids

    def _ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    def render(self, text: str, images: int = 1) -> str:
        """A question after its images in the model's chat format, ready to be answered.

        Args:
            text: The question, and what comes before it.
            images: How many there are.

        Raises:
            InputError: If it is not known how the model is to be asked.
        """
        if getattr(self.processor, "chat_template", None) is None:
            if self.family.prompt is None:
                raise InputError(
                    f"{self.name} has no chat template, so its prompt format is unknown: choose "
                    "an instruction-tuned checkpoint."
                )
            return self.family.prompt.format(image=self.processor.image_token * images, text=text)
        content = [*([{"type": "image"}] * images), {"type": "text", "text": text}]
        message = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(message, add_generation_prompt=True)
