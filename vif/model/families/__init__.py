"""Model families: which tokens are the image, and where each lies on it. One table row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vif.errors import InputError
from vif.model.families import tiled, unlisted, whole
from vif.model.families.layout import Block, Layout, grid_cells, uncovered
from vif.model.families.picture import Picture

__all__ = ["FAMILIES", "Block", "Family", "Layout", "Picture", "find", "grid_cells", "uncovered"]


@dataclass(frozen=True)
class Family:
    """What tells one model family from another: its tokens, layout and limits.

    Attributes:
        model_type: ``config.model_type``.
        layout: Places the image tokens of a prompt.
        prompt: The format of a question for checkpoints that come without a chat template.
        refuses: From a processor and an image's width and height to what is wrong with such an
            image and what to do about it, or None.
        is_listed: Whether the layout holds for the whole family. One that is only guessed must be
            proved on the model itself, see `vif.check.proof`.
        sees_all: Whether image tokens see the question (a prefix without causal order), so that
            the image cannot be read before it.
        takes_several: Whether a prompt may hold several images; a guessed layout is proved for one.
        has_marks: Whether text tokens take embeddings from the vision tower, as separators do, so
            that text and image have to be read together.
    """

    model_type: str
    layout: Callable[[Picture], Layout]
    prompt: str | None = None
    refuses: Callable[[Any, tuple[int, int]], str | None] = whole.refuses_nothing
    sees_all: bool = False
    has_marks: bool = False
    is_listed: bool = True
    takes_several: bool = True

    @property
    def reads_together(self) -> bool:
        """Whether image and text have to be read in one pass."""
        return self.sees_all or self.has_marks


# The docstrings of the functions say in which order the tokens come. PaliGemma 2 calls itself
# paligemma too: its language model is Gemma 2.
FAMILIES = (
    Family("llava", whole.fixed_grid, refuses=whole.llava_refuses),
    Family("vipllava", whole.fixed_grid, refuses=whole.llava_refuses),
    Family("llava_next", tiled.anyres),
    Family("llava_onevision", tiled.anyres_max),
    Family("qwen2_vl", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("qwen2_5_vl", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("qwen3_vl", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("qwen3_vl_moe", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("qwen3_5", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("qwen3_5_moe", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("glm4v", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("glm46v", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("paddleocr_vl", whole.qwen_grid, refuses=whole.qwen_refuses, takes_several=False),
    Family("video_llama_3", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("exaone4_5", whole.qwen_grid, refuses=whole.qwen_refuses),
    Family("smolvlm", tiled.split_image),
    Family("idefics3", tiled.split_image),
    Family("internvl", tiled.canvas_tiles),
    Family("aya_vision", tiled.canvas_tiles),
    Family("cohere2_vision", tiled.scaled_tiles),
    Family("lfm2_vl", tiled.large_tiles),
    Family("ovis2", tiled.covering_tiles, has_marks=True),
    Family("gemma3", whole.pan_and_scan),
    Family("gemma4", whole.pooled_grid),
    Family(
        "paligemma", whole.fixed_grid, prompt="{image}{text}", sees_all=True, takes_several=False
    ),
    Family("mistral3", whole.resized_grid, refuses=whole.pixtral_refuses),
)


def find(model_type: str, allow_unlisted: bool = False) -> Family:
    """The family of a model.

    Args:
        model_type: ``config.model_type``.
        allow_unlisted: Gives a family whose layout is a guess for a type that is not listed; who
            asks for it has to prove it.

    Raises:
        InputError: If the family is unknown and nothing is to be guessed.
    """
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    if allow_unlisted:
        return Family(model_type, unlisted.guessed_grid, is_listed=False, takes_several=False)
    known = ", ".join(family.model_type for family in FAMILIES)
    raise InputError(
        f"Models of type {model_type!r} are not supported yet: expected one of {known}."
    )
