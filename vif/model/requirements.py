"""Requirements for recording and steering a model, verified once when it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from typing_extensions import override

from vif.errors import InputError
from vif.model import attention
from vif.model.types import VisionLanguageModel

# The names by which transformers' configurations call layers without softmax attention.
_WITHOUT_ATTENTION = ("linear_attention", "conv", "moe")


def find_image_token(config: Any, processor: Any, name: str) -> int:
    """The token that stands for a part of the image in a prompt.

    Raises:
        InputError: If neither the configuration nor the processor names one.
    """
    for place in (config, processor):
        for attribute in ("image_token_id", "image_token_index"):
            if isinstance(token := getattr(place, attribute, None), int):
                return token
    raise InputError(
        f"{name} cannot be used: its configuration names no image token, so the image tokens of "
        "a prompt are unknown."
    )


def install(model: VisionLanguageModel, name: str) -> Callable[[], None]:
    """Replaces the attention of a model by one that records; returns a function that undoes it.

    Raises:
        InputError: If it cannot be replaced.
    """
    try:
        return attention.install(model)
    except (AttributeError, ValueError) as error:
        raise InputError(
            f"{name} cannot be used: its attention cannot be recorded, because its language "
            f"model does not use transformers' attention interface ({error})."
        ) from error


class _Probe(attention.Tap):
    def __init__(self) -> None:
        self.recorded: set[int] = set()
        self.reported: set[int] = set()

    @override
    def wants(self, layer: int) -> bool:
        return True

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        self.reported.add(layer)

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        self.recorded.add(layer)


def layers_that_report(
    model: VisionLanguageModel, name: str, input_ids: torch.Tensor
) -> tuple[int, ...]:
    """One text-only forward that must report every layer; a model that does not fails closed.

    Args:
        model: One whose attention `install` replaced.
        name: What a person calls it.
        input_ids: A short text, (1, S).

    Returns:
        The layers that recorded their attention: all but those that by the configuration have none.

    Raises:
        InputError: If a layer does not report, or no layer has softmax attention.
    """
    config = model.config.get_text_config()
    layers = set(range(config.num_hidden_layers))
    without = _layers_without_attention(config)
    if without >= layers:
        raise InputError(
            f"{name} cannot be used: none of its layers has softmax attention, so there "
            "is nothing to record or to steer."
        )
    probe = _Probe()
    try:
        with torch.no_grad():
            model(input_ids=input_ids, **{attention.KEYWORD: probe})
    except TypeError as error:
        raise InputError(
            f"{name} cannot be used: its layers do not pass on the argument that records "
            f"attention ({error})."
        ) from error
    if missing := sorted(layers - probe.recorded - without):
        raise InputError(
            f"{name} cannot be used: layers {missing} do not go through transformers' "
            "attention interface, so their attention can be neither recorded nor steered."
        )
    if missing := sorted(layers - probe.reported - {config.num_hidden_layers - 1}):
        raise InputError(
            f"{name} cannot be used: layers {missing} do not report their output, so no "
            "map can be read from them."
        )
    return tuple(sorted(probe.recorded))


def _layers_without_attention(text_config: Any) -> set[int]:
    """Layers that by the configuration are no softmax attention: recurrent, or convolutions."""
    types = getattr(text_config, "layer_types", None) or ()
    return {layer for layer, kind in enumerate(types) if kind in _WITHOUT_ATTENTION}
