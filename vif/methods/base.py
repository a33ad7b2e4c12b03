"""The interface of a method; every method registers itself in `METHODS`."""

from __future__ import annotations

import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from PIL import Image

from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.methods.prompts import without_image
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.recording import Recorder
from vif.registry import Registry
from vif.settings import Settings


@dataclass(frozen=True)
class Request:
    """The input of a method.

    Attributes:
        batch: The prompts.
        settings: The settings that the user chose.
        backbone: The model, for methods that ask it something else first.
        adapter: The learned part of VIF, if there is one.
        truth: Where the answer is known to be, (B, N), rows sum to 1 or are 0 where nothing is
            known; None if nothing was given.
        look: Where a person wants the model to look, like `truth`; None if nothing was given.
        images: The image of every prompt, for methods that look at it again.
        options: The method's own settings: the defaults of `Method.options` with the user's
            changes.
        cancel: Stops a method's extra passes between two tokens, like the answer's own.
    """

    batch: Batch
    settings: Settings
    backbone: Backbone
    adapter: VIFAdapter | None = None
    truth: torch.Tensor | None = None
    look: torch.Tensor | None = None
    images: Sequence[Image.Image] = ()
    options: Mapping[str, float] = field(default_factory=dict)
    cancel: threading.Event | None = None

    @property
    def num_heads(self) -> int:
        """Query heads per layer."""
        return self.backbone.num_heads

    def with_question(self, question: str) -> Batch:
        """The same images and contexts with another question."""
        pairs = zip(self.batch.prompts, self.images, strict=True)
        prompts = [self.backbone.vary(*pair, question) for pair in pairs]
        return Batch.make(self.backbone, prompts, like=self.batch)

    def generators(self, *key: int) -> list[np.random.Generator]:
        """One random generator per prompt, from the seed, the question, the image and a key.

        Hence a question gets the same draws alone and in any batch, and another one gets others.
        """
        return [
            np.random.default_rng(
                [
                    self.settings.seed,
                    zlib.crc32(image.tobytes()),
                    zlib.crc32(f"{prompt.context}\n{prompt.text}".encode()),
                    *key,
                ]
            )
            for image, prompt in zip(self.images, self.batch.prompts, strict=True)
        ]

    def without_image(self) -> dict[str, Any]:
        """The prompts without their images, as ``generate`` takes them; see `without_image`."""
        return self.backbone.collate([without_image(prompt) for prompt in self.batch.prompts])


@dataclass(frozen=True)
class Option:
    """One setting of a method; its default is the published value if there is one.

    Attributes:
        name: On the command line ``--set method.name=value``.
        default: Used unless the user changes it.
        low: Least sensible value.
        high: Largest sensible value.
        step: Of the page's slider; 1 makes it a whole number.
        text: One line for the user, with the source of the default.
    """

    name: str
    default: float
    low: float
    high: float
    step: float
    text: str


class Group(StrEnum):
    """The groups of methods in menus, in their order there."""

    MODEL = "The model, and VIF"
    PLACE = "A place that is given"
    ATTENTION = "Attention changed in other ways"
    SECOND_LOOK = "A second look at the picture"
    DECODING = "Contrastive decoding"
    COMPOSITE = "Any map with any edit"


class Method(ABC):
    """A way to answer: the plain model, or an intervention in its attention.

    Attributes:
        name: The name on the command line and in results.
        label: The name shown in menus, on cards and in figures.
        group: Where menus list it.
        colour: ``"#rrggbb"``, its own in figures and on the page; None takes the next one that is
            free among the answers compared.
        summary: One line for a person.
        extra_passes: Passes over the prompt besides the answer's own, without an adapter.
        adapter_saves: Whether these passes are not needed with an adapter.
        branches: Further forward passes per generated token.
        uses_ranges: Whether the layer ranges, the stride or the strength of the settings change
            what it does.
        place: Which place has to be given: ``"look"`` (marked by a person), ``"truth"`` (the true
            box) or "".
        options: Settings of the method's own.
        identity: Values of `options` under which a method must equal plain; None where there are
            none.
    """

    name: str
    label: str
    group: Group
    colour: str | None = None
    summary: str
    extra_passes: int = 0
    adapter_saves: bool = False
    branches: int = 0
    uses_ranges: bool = False
    place: str = ""
    options: tuple[Option, ...] = ()
    identity: Mapping[str, float] | None = None

    def resolve(self, changed: Mapping[str, float]) -> dict[str, float]:
        """The values of all options: those given, and defaults for the rest.

        Raises:
            InputError: If an option is unknown or a value out of range.
        """
        known = {option.name: option for option in self.options}
        for name, value in changed.items():
            if name not in known:
                expected = ", ".join(known) or "none, because it has no settings"
                raise InputError(f"Method {self.name!r} has no setting {name!r}: {expected}.")
            low, high = known[name].low, known[name].high
            if not low <= value <= high:
                raise InputError(
                    f"{self.name}.{name} is {value:g}, expected a number from {low:g} to {high:g}."
                )
        return {name: changed.get(name, option.default) for name, option in known.items()}

    def passes(self, has_adapter: bool) -> int:
        """Passes over the prompt besides the answer's own."""
        return 0 if has_adapter and self.adapter_saves else self.extra_passes

    def obstacle(self, backbone: Backbone, adapter: VIFAdapter | None) -> str:  # noqa: ARG002
        """Why the method cannot work with a model, as one sentence; "" if it can.

        Menus grey a method out with this sentence, and `tap` refuses it with the same one.
        """
        return ""

    @abstractmethod
    def tap(self, request: Request) -> Recorder:
        """Returns the tap that carries out this method.

        Raises:
            InputError: If the request lacks what the method needs.
        """


METHODS: Registry[Method] = Registry("method")
register = METHODS.register
