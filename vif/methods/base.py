"""What a method is, and the registry that every method enters itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from vif.adapter import VIFAdapter
from vif.backbone import Backbone
from vif.errors import InputError
from vif.lens import Batch, Recorder
from vif.settings import Settings


@dataclass(frozen=True)
class Request:
    """What a method works on.

    Attributes:
        batch: The prompts.
        settings: The person's settings.
        num_heads: Query heads per layer.
        adapter: The learned part of VIF, if there is one.
        truth: Where the answer is known to be, (B, N), rows sum to 1 or are 0 where nothing is
            known; None if nothing was given.
        backbone: The model, for methods that ask it something else first.
        images: The image of every prompt, for the same.
    """

    batch: Batch
    settings: Settings
    num_heads: int
    adapter: VIFAdapter | None = None
    truth: torch.Tensor | None = None
    backbone: Backbone | None = None
    images: Sequence[Image.Image] = ()

    def instead(self, question: str) -> Batch:
        """The same images and contexts with another question."""
        pairs = zip(self.images, self.batch.prompts, strict=True)
        prompts = [self.backbone.encode(image, question, p.context) for image, p in pairs]
        return Batch.make(self.backbone, prompts)


class Method(ABC):
    """One way to answer.

    Attributes:
        name: How it is called on the command line and in results.
        summary: One line for a person.
        extra_passes: Passes over the prompt besides the answer's own, without an adapter.
    """

    name: str
    summary: str
    extra_passes: int = 0

    @abstractmethod
    def tap(self, request: Request) -> Recorder:
        """The tap that carries this method out.

        Raises:
            InputError: If the request lacks what the method needs.
        """


_METHODS: dict[str, Method] = {}


def register(method: type[Method]) -> type[Method]:
    """Class decorator that makes a method known by its name.

    Raises:
        ValueError: If the name is taken.
    """
    if method.name in _METHODS:
        raise ValueError(f"A method called {method.name!r} is already registered.")
    _METHODS[method.name] = method()
    return method


def find(name: str) -> Method:
    """The method of that name.

    Raises:
        InputError: If there is none.
    """
    if name not in _METHODS:
        raise InputError(f"Unknown method {name!r}: expected one of {', '.join(_METHODS)}.")
    return _METHODS[name]


def names() -> list[str]:
    """Names of all methods, in order of registration."""
    return list(_METHODS)
