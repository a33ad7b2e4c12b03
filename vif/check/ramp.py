"""Measures where image tokens look, to compare with the layout.

An image whose colour tells the place goes through the model's own image processor. With the vision
tower's layers switched off, a token depends on its own pixels only, and its gradient finds them
through everything else that the model does: tiling, merging, unpadding, reordering, newlines.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from vif.model.backbone import Backbone
from vif.model.prompt import Prompt

# Tokens that see less of the image than this are too dark for their colour to be read.
_LEAST_SHARE = 0.15
_VISION_LAYERS = ("layer", "layers", "blocks")


def ramp_image(size: tuple[int, int], turned: bool = False) -> Image.Image:
    """An image that tells its own places: red is x, green is y, blue is 1 inside the image.

    Turned, red is 1 - y and green is 1 - x: a place that was read off one image by mistake does not
    come out of the other.
    """
    width, height = size
    x, y = (np.arange(length) + 0.5 for length in size)
    ramp = np.ones((height, width, 3))
    ramp[..., 0], ramp[..., 1] = x / width, y[:, None] / height
    if turned:
        ramp[..., :2] = 1 - ramp[..., 1::-1]
    return Image.fromarray((ramp * 255).round().astype(np.uint8))


def ramp_error(
    backbone: Backbone,
    size: tuple[int, int],
    tokens: int | None = None,
    turned: bool = False,
    others: Sequence[tuple[int, int]] = (),
    place: int = 0,
) -> float:
    """How far the layout is from where tokens really look.

    Args:
        backbone: A model.
        size: Width and height of the image to try.
        tokens: How many tokens to look at, evenly spread; all by default.
        turned: Whether to try the other image, see `ramp_image`.
        others: Sizes of other images in the prompt; they show the other pattern.
        place: How many of them come before the image.

    Returns:
        The largest distance of any token along x or y, in cells of that token, but at least in
        pixels of the image; infinite if a token is taken for image, newline or padding wrongly.
    """
    beside = [ramp_image(other, not turned) for other in others]
    with _black_padding(backbone.processor.image_processor):
        prompt = backbone.encode(ramp_image(size, turned), "what is this ?", "", beside, place)
        number = len(prompt.image)
        chosen = np.unique(
            np.linspace(0, number - 1, min(tokens or number, number)).round().astype(int)
        )
        own = token_colours(backbone, prompt, chosen)
    cells, is_padding = prompt.layout.cells[chosen], prompt.layout.padding[chosen]
    share = own[:, 2]
    is_newline = np.isnan(cells).any(1) & ~is_padding
    if (np.isnan(share) != is_newline).any() or (share[is_padding] > _LEAST_SHARE).any():
        return float("inf")
    bright = ~np.isnan(cells).any(1) & (share > _LEAST_SHARE)
    if not bright.any():
        return 0.0
    cells, places = cells[bright], own[bright, :2] / share[bright, None]
    if turned:
        places = 1 - places[:, ::-1]
    centres = (cells[:, :2] + cells[:, 2:]) / 2
    unit = np.maximum(cells[:, 2:] - cells[:, :2], 1 / np.array(size))
    return float((np.abs(places - centres) / unit).max())


def token_colours(backbone: Backbone, prompt: Prompt, chosen: np.ndarray) -> np.ndarray:
    """Mean colour of the pixels of image tokens, (len(chosen), 3); NaN where there are none."""
    inputs = backbone.collate([prompt])
    encode = backbone.model.base_model.get_image_features
    wanted = inspect.signature(encode).parameters
    visual = {name: value for name, value in inputs.items() if name in wanted}
    pixels = prompt.inputs["pixel_values"].to(backbone.device).requires_grad_()
    with torch.enable_grad(), _layers_off(backbone.model.get_encoder("image")):
        visual["pixel_values"] = pixels.to(backbone.model.dtype)
        features = encode(**visual, return_dict=True).pooler_output
        features = torch.cat([part.flatten(0, -2) for part in features])
        # Not the plain sum: a normalised feature has the same sum whatever the pixels are.
        probe = torch.randn(features.shape[-1], generator=torch.Generator().manual_seed(0))
        scores = (features @ probe.to(features)).unbind()
    colours = _colours(pixels.detach(), backbone.processor.image_processor)
    before = int((prompt.other_tokens < prompt.image[0]).sum())
    found = np.full((len(chosen), 3), np.nan)
    for i, token in enumerate(chosen):
        (gradient,) = torch.autograd.grad(scores[before + token], pixels, retain_graph=True)
        weight = _channels_last(gradient).abs().sum(-1, keepdim=True)
        if weight.any():
            found[i] = ((weight * colours).sum(0) / weight.sum()).cpu().numpy()
    return found


def _channels_last(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels of any family's shape as (pixels, 3)."""
    if pixels.ndim == 2:
        # Qwen: one row per patch, its three channels one after another.
        return pixels.unflatten(1, (3, -1)).transpose(1, 2).reshape(-1, 3)
    if pixels.ndim == 3:
        # Gemma 4: one row per patch and image, its pixels one after another.
        return pixels.reshape(-1, 3)
    return pixels.movedim(-3, -1).reshape(-1, 3)


def _colours(pixels: torch.Tensor, image_processor: Any) -> torch.Tensor:
    """Processed pixels as the colours they were, (pixels, 3)."""
    mean, std = (
        torch.tensor(getattr(image_processor, name), device=pixels.device)
        for name in ("image_mean", "image_std")
    )
    return _channels_last(pixels) * std + mean


@contextmanager
def _black_padding(image_processor: Any) -> Iterator[None]:
    """Makes a processor pad with black instead of its mean colour, to tell padding apart."""
    mean = image_processor.image_mean
    image_processor.image_mean = [0.0] * len(mean)
    try:
        yield
    finally:
        image_processor.image_mean = mean


@contextmanager
def _layers_off(vision: nn.Module) -> Iterator[None]:
    """Makes every layer of a vision tower return its input."""

    def hand_on(_: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
        given = args[0] if args else kwargs["hidden_states"]
        return (given, *output[1:]) if isinstance(output, tuple) else given

    handles = [
        # First of all hooks: transformers' own ones collect hidden states.
        layer.register_forward_hook(hand_on, with_kwargs=True, prepend=True)
        for name, module in vision.named_modules()
        if isinstance(module, nn.ModuleList) and name.split(".")[-1] in _VISION_LAYERS
        for layer in module
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
