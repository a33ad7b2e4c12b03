"""Several prompts as a model reads them at once, their images encoded once for all methods."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.model.prompt import OTHER_PART, Prompt


@dataclass(frozen=True)
class Batch:
    """B prompts padded on the left to S tokens.

    Attributes:
        prompts: The prompts.
        inputs: What ``generate`` takes; the image already encoded, shared by all methods.
        columns: Positions of the image tokens, (B, N).
        centres: Token centres, (B, N, 2), in [0, 1] image coordinates.
        question: The rows a latent reads: the question and what follows it, (B, S) bool.
        parts: What every position is, (B, S), an index into `MASS_PARTS`.
        first_row: First row after all images, (B,).
        num_layers: Decoder layers of the model.
    """

    prompts: list[Prompt]
    inputs: dict[str, Any]
    columns: torch.Tensor
    centres: torch.Tensor
    question: torch.Tensor
    parts: torch.Tensor
    first_row: torch.Tensor
    num_layers: int

    def __len__(self) -> int:
        return len(self.prompts)

    @classmethod
    def make(cls, backbone: Backbone, prompts: list[Prompt], like: Batch | None = None) -> Batch:
        """Pads prompts and encodes their images, once for all methods.

        Args:
            backbone: The model.
            prompts: As many image tokens in each.
            like: Another batch about the same images, whose encoded images are shared.

        Raises:
            InputError: If prompts have different numbers of image tokens.
        """
        counts = {len(prompt.image) for prompt in prompts}
        if len(counts) > 1:
            raise InputError(
                f"Prompts with {sorted(counts)} image tokens cannot share a batch: ask one by one."
            )
        inputs = backbone.collate(prompts)
        length = inputs["input_ids"].shape[1]
        pads = [length - prompt.length for prompt in prompts]
        parts = torch.full((len(prompts), length), OTHER_PART)
        question = torch.zeros(len(prompts), length, dtype=torch.bool)
        for i, (prompt, pad) in enumerate(zip(prompts, pads, strict=True)):
            parts[i, pad:] = prompt.parts()
            question[i, pad + prompt.question.start :] = True
        first = [prompt.first_row + pad for prompt, pad in zip(prompts, pads, strict=True)]
        columns = torch.stack([p.image + pad for p, pad in zip(prompts, pads, strict=True)])
        centres = np.stack([prompt.layout.centres for prompt in prompts])
        device = backbone.device
        return cls(
            prompts=prompts,
            inputs=_encode_images(backbone.model, inputs, like.inputs if like else {}),
            columns=columns.to(device),
            centres=torch.from_numpy(centres).float().to(device),
            question=question.to(device),
            parts=parts.to(device),
            first_row=torch.tensor(first).to(device),
            num_layers=backbone.num_layers,
        )


@torch.no_grad()
def _encode_images(model: Any, inputs: dict[str, Any], encoded: dict[str, Any]) -> dict[str, Any]:
    """Replaces pixels by image features, those in `encoded` if it has any, so that answers share.

    A model that cannot take features is given its pixels every time.
    """
    rest = {name: value for name, value in inputs.items() if name != "pixel_values"}
    if "mm_encoder_outputs" in encoded:
        return rest | {"mm_encoder_outputs": encoded["mm_encoder_outputs"]}
    encode = getattr(model.base_model, "get_image_features", None)
    takes_features = "mm_encoder_outputs" in inspect.signature(model.forward).parameters
    if encode is None or not takes_features:
        return inputs
    wanted = inspect.signature(encode).parameters
    visual = {name: value for name, value in inputs.items() if name in wanted}
    features = encode(**visual, return_dict=True)
    return rest | {"mm_encoder_outputs": {"image": features}}
