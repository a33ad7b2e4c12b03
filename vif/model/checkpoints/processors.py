"""Processors of text and images.

Several families' processors cannot be made without torchvision, only because they could read
videos too. Nothing here reads videos or sound, so these parts are left out and images are prepared
by Pillow: the same pixels on every machine.
"""

from __future__ import annotations

from typing import Any

import transformers
from transformers import (
    AutoConfig,
    AutoProcessor,
    Idefics3Processor,
    PreTrainedConfig,
    ProcessorMixin,
    SmolVLMConfig,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

_KEPT = ("image_processor", "tokenizer")


class PixtralProcessorPil(ProcessorMixin):
    """`transformers.PixtralProcessor`, whose module needs torchvision to be imported at all."""

    text_kwargs = {"return_tensors": "pt"}  # noqa: RUF012
    images_kwargs = {"return_tensors": "pt"}  # noqa: RUF012

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        patch_size: int = 16,
        spatial_merge_size: int = 1,
        chat_template: str | None = None,
        image_token: str = "[IMG]",
        image_break_token: str = "[IMG_BREAK]",
        image_end_token: str = "[IMG_END]",
        **_: Any,
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)
        self.patch_size, self.spatial_merge_size = patch_size, spatial_merge_size
        self.image_token = image_token
        self.image_break_token, self.image_end_token = image_break_token, image_end_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)

    def _process_images(self, images: Any, **images_kwargs: Any) -> Any:
        images_kwargs["patch_size"] = self.patch_size * self.spatial_merge_size
        return super()._process_images(images, **images_kwargs)

    def replace_image_token(self, image_inputs: dict, image_idx: int, **_: Any) -> str:
        """Rows of image tokens, each but the last followed by a break, the last by the end."""
        height, width = image_inputs["image_sizes"][image_idx]
        patch = self.patch_size * self.spatial_merge_size
        row = self.image_token * (int(width) // patch)
        return self.image_break_token.join([row] * (int(height) // patch)) + self.image_end_token


def load_processor(name: str, local_files_only: bool = False) -> ProcessorMixin:
    """The processor of a checkpoint.

    Args:
        name: Folder or Hub name.
        local_files_only: Whether nothing is to be downloaded.

    Raises:
        ImportError: If it needs a library that is not installed; the message names it.
        OSError: If there is none.
    """
    # Never code of a model: asked of every part, which would each ask a person at the terminal.
    options: dict[str, Any] = {
        "local_files_only": local_files_only,
        "trust_remote_code": False,
    }
    config = AutoConfig.from_pretrained(name, **options)
    vision = getattr(config, "vision_config", None)
    made = processor_class(type(config), getattr(vision, "model_type", None))
    made = made or _named_class(name, options) or AutoProcessor
    return made.from_pretrained(name, backend="pil", **options)


def _named_class(name: str, options: dict[str, Any]) -> type[ProcessorMixin] | None:
    """The class that a checkpoint names, without videos and sound; None if it needs no change."""
    try:
        told, _ = ProcessorMixin.get_processor_dict(name, **options)
    except OSError:
        return None
    known = getattr(transformers, str(told.get("processor_class")), None)
    if isinstance(known, type) and issubclass(known, ProcessorMixin):
        return _reduced(known)
    return None


def processor_class(
    config: type[PreTrainedConfig], vision_type: str | None
) -> type[ProcessorMixin] | None:
    """The class to use for a model whose own would need torchvision, None for the others.

    Args:
        config: Class of the model's configuration.
        vision_type: ``model_type`` of its vision tower, if it has one of its own.
    """
    if vision_type == "pixtral":
        return PixtralProcessorPil
    # SmolVLM's differs from Idefics 3's in videos alone, and these need one library more.
    known = Idefics3Processor if config is SmolVLMConfig else _known_class(config)
    reduced = None if known is None else _reduced(known)
    return reduced or (Idefics3Processor if config is SmolVLMConfig else None)


def _reduced(known: type[ProcessorMixin]) -> type[ProcessorMixin] | None:
    """A class without its parts for videos and sound; None if it has none, or reads no images."""
    parts = known.get_attributes()
    is_changed = {*_KEPT} <= {*parts} and len(parts) > len(_KEPT)
    return _image_only(known) if is_changed else None


def _known_class(config: type[PreTrainedConfig]) -> type[ProcessorMixin] | None:
    """The processor that belongs to a model; None if there is none or a library is missing."""
    try:
        known: Any = PROCESSOR_MAPPING[config]
    except (KeyError, ImportError):
        return None
    return known


class _ImageOnly(ProcessorMixin):
    """Stands between a processor and `ProcessorMixin`: parts that are left out come in as None."""

    # All parts of the processor, in the order of its arguments.
    parts: tuple[str, ...]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = dict(zip(self.parts, args, strict=False)) | kwargs
        left_out = set(self.parts) - set(self.get_attributes())
        super().__init__(**{name: part for name, part in given.items() if name not in left_out})

    @classmethod
    def _get_arguments_from_pretrained(cls, *args: Any, **kwargs: Any) -> list[Any]:
        kept = super()._get_arguments_from_pretrained(*args, **kwargs)
        given = dict(zip(cls.get_attributes(), kept, strict=True))
        return [given.get(part) for part in cls.parts]


def _image_only(base: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """The class without its parts for videos and sound."""
    parts = base.get_attributes()
    kept = [part for part in parts if part in _KEPT]
    # The name is what transformers writes into saved files and compares.
    members = {"get_attributes": classmethod(lambda _: kept), "parts": tuple(parts)}
    parents: Any = (base, _ImageOnly)
    return type(base.__name__, parents, members)
