"""Processors of text and images.

Several families' processors cannot be made without torchvision, only because they could read
videos too. Nothing here reads a video, so that part is left out and images are prepared by Pillow:
the same pixels on every machine.
"""

from __future__ import annotations

import importlib
from typing import Any

from transformers import AutoConfig, AutoProcessor, ProcessorMixin

# Where transformers keeps the processors that have a video part to be left out.
# SmolVLM's differs from Idefics 3's in videos alone.
_IMAGE_ONLY = {
    "llava_onevision": ("llava_onevision", "LlavaOnevisionProcessor"),
    "qwen2_vl": ("qwen2_vl", "Qwen2VLProcessor"),
    "qwen2_5_vl": ("qwen2_5_vl", "Qwen2_5_VLProcessor"),
    "qwen3_vl": ("qwen3_vl", "Qwen3VLProcessor"),
    "smolvlm": ("idefics3", "Idefics3Processor"),
    "internvl": ("internvl", "InternVLProcessor"),
}


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
    options = {"local_files_only": local_files_only, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(name, **options)
    vision = getattr(config, "vision_config", None)
    made = processor_class(config.model_type, getattr(vision, "model_type", None)) or AutoProcessor
    return made.from_pretrained(name, backend="pil", **options)


def processor_class(model_type: str, vision_type: str | None) -> type[ProcessorMixin] | None:
    """The class to use for a family whose own would need torchvision, None for the others.

    Args:
        model_type: That of the model.
        vision_type: That of its vision tower, if it has a type of its own.
    """
    if vision_type == "pixtral":
        return PixtralProcessorPil
    if model_type not in _IMAGE_ONLY:
        return None
    folder, name = _IMAGE_ONLY[model_type]
    module = importlib.import_module(f"transformers.models.{folder}.processing_{folder}")
    return _without_videos(getattr(module, name))


def _without_videos(base: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """The class itself if it has no video part."""
    parts = [part for part in base.get_attributes() if part != "video_processor"]
    if parts == base.get_attributes():
        return base
    # The name is what transformers writes into saved files and compares.
    return type(base.__name__, (base,), {"get_attributes": classmethod(lambda _: parts)})
