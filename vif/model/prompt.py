"""An image and a question as a model reads them: tokens, and the part each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import nn

from vif.model import families
from vif.trace import MASS_PARTS

# What a processor makes of the text; everything else is made of the image.
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
IMAGE_PART, QUESTION_PART, ANSWER_PART, OTHER_PART, OTHER_IMAGES_PART = range(len(MASS_PARTS))


@dataclass(frozen=True)
class Prompt:
    """An image and a question as the model reads them.

    A prompt may hold other images beside the one that is asked about; "the image" is always that
    one. Maps are of its tokens, and methods steer to them.

    Attributes:
        inputs: What the processor made, batch size 1.
        layout: Where the image tokens lie.
        image: Positions of the image tokens, (N,).
        question: Positions of the question's own tokens.
        text: The question as it entered the prompt.
        context: The unrelated text before it.
        others: The other images.
        place: How many of them come before the image.
        other_tokens: Positions of their tokens, (M,).
    """

    inputs: dict[str, torch.Tensor]
    layout: families.Layout
    image: torch.Tensor
    question: range
    text: str
    context: str
    others: tuple[Image.Image, ...] = ()
    place: int = 0
    other_tokens: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    @property
    def first_row(self) -> int:
        """First position after all images."""
        return int(torch.cat([self.image, self.other_tokens]).max()) + 1

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.inputs["input_ids"].shape[1]

    def parts(self) -> torch.Tensor:
        """What every position is, (S,), an index into `vif.trace.MASS_PARTS`."""
        parts = torch.full((self.length,), OTHER_PART)
        parts[self.image] = IMAGE_PART
        parts[self.other_tokens] = OTHER_IMAGES_PART
        parts[self.question.start : self.question.stop] = QUESTION_PART
        return parts


def pad_left(
    prompts: Sequence[Prompt], padding: int, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Prompts as one batch.

    Args:
        prompts: They may differ in length, and in the shape of what is made of their images.
        padding: The token id before the shorter ones.
        dtype: Of what is made of the images.
    """
    longest = max(prompt.length for prompt in prompts)
    batch: dict[str, list[torch.Tensor]] = {}
    for prompt in prompts:
        for name, tensor in prompt.inputs.items():
            if name in TEXT_INPUTS:
                value = padding if name == "input_ids" else 0
                tensor = nn.functional.pad(tensor, (longest - prompt.length, 0), value=value)
            elif tensor.is_floating_point():
                tensor = tensor.to(dtype)
            batch.setdefault(name, []).append(tensor)
    return {name: join(parts) for name, parts in batch.items()}


def join(parts: list[torch.Tensor]) -> torch.Tensor:
    """Concatenates tensors along their first dimension, padding the others at the end."""
    shape = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    padded = []
    for part in parts:
        missing = [(0, most - size) for size, most in zip(part.shape[1:], shape, strict=True)]
        padded.append(nn.functional.pad(part, [n for side in reversed(missing) for n in side]))
    return torch.cat(padded)


def question_span(rendered: list[int], without: list[int], prompt: list[int]) -> range | None:
    """Positions of the question in a prompt; None if it is not there.

    Needs no knowledge of the chat template. The search starts at the end, because the processor
    expands what lies before the question.

    Args:
        rendered: Tokens of the chat template with the question.
        without: Tokens of the chat template without it.
        prompt: What the processor made of the first.
    """
    head = _common(rendered, without)
    tail = min(_common(rendered[::-1], without[::-1]), len(without) - head)
    asked = rendered[head : len(rendered) - tail]
    # PaliGemma's processor adds a line break after the question.
    for end in range(len(prompt) - tail, len(asked) - 1, -1):
        if prompt[end - len(asked) : end] == asked:
            return range(end - len(asked), end)
    return None


def _common(a: list[int], b: list[int]) -> int:
    """Length of the common beginning."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
