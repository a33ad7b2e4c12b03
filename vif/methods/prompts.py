"""Prompts with something taken out of them, for branches that run beside an answer."""

from __future__ import annotations

from dataclasses import replace

import torch

from vif.errors import InputError
from vif.model.prompt import TEXT_INPUTS, Prompt

GENERIC = "Write a general description of the image."  # what a question is compared with


def without_image(prompt: Prompt) -> Prompt:
    """A prompt without its image: everything from the first to the last image token is taken out.

    With them go row breaks and tile markers, which lie between image tokens. What frames the image
    (``<|vision_start|>`` and ``<|vision_end|>`` of Qwen, ``<start_of_image>`` of Gemma, ``<img>``
    of InternVL) and what is written around it stays, empty. Nothing of the picture is left in
    the inputs; text after it moves to the positions before it, as in PAI (arXiv 2407.21771).

    Raises:
        InputError: If the prompt holds other images too.
    """
    refuse_several(prompt, "A comparison with an answer without the image")
    first, last = int(prompt.image[0]), int(prompt.image[-1])
    kept = torch.ones(prompt.length, dtype=torch.bool)
    kept[first : last + 1] = False
    inputs = {name: value for name, value in prompt.inputs.items() if name in TEXT_INPUTS}
    return _only(replace(prompt, inputs=inputs), kept)


def refuse_several(prompt: Prompt, what: str) -> None:
    """Raises `InputError` if a prompt has more images than the one of the question."""
    if prompt.others:
        raise InputError(
            f"{what} needs a prompt with one image, and this one has {len(prompt.others) + 1}: ask "
            "about one image, or choose another method."
        )


def without_question(prompt: Prompt) -> Prompt:
    """A prompt without the question's own tokens; its context and chat format stay."""
    kept = torch.ones(prompt.length, dtype=torch.bool)
    kept[prompt.question.start : prompt.question.stop] = False
    return _only(prompt, kept)


def _only(prompt: Prompt, kept: torch.Tensor) -> Prompt:
    """The tokens of a prompt that are kept, (S,) bool; layout and text stay as they are."""
    inputs = {
        name: value[:, kept] if name in TEXT_INPUTS else value
        for name, value in prompt.inputs.items()
    }
    moved = kept.cumsum(0)
    start = int(kept[: prompt.question.start].sum())
    length = int(kept[prompt.question.start : prompt.question.stop].sum())
    image = prompt.image[kept[prompt.image]]
    return replace(
        prompt, inputs=inputs, image=moved[image] - 1, question=range(start, start + length)
    )
