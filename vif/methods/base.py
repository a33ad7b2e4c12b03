"""What a method is, and the registry that every method enters itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.lens import Batch, Recorder
from vif.settings import Settings

Box = tuple[float, float, float, float]


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
    """

    batch: Batch
    settings: Settings
    num_heads: int
    adapter: VIFAdapter | None = None
    truth: torch.Tensor | None = None


class Method(ABC):
    """One way to answer.

    Attributes:
        name: How it is called on the command line and in results.
        summary: One line for a person.
    """

    name: str
    summary: str

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
