"""What registers itself by its name: methods and probes."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")
Kind = TypeVar("Kind", bound=type[Any])


class Registry(dict[str, T]):
    """One instance of each registered class, by the name that it gives itself.

    Attributes:
        noun: What is registered, for errors.
    """

    def __init__(self, noun: str) -> None:
        super().__init__()
        self.noun = noun

    def register(self, kind: Kind) -> Kind:
        """Class decorator that makes a class known by its ``name``.

        Raises:
            ValueError: If the name is taken.
        """
        if kind.name in self:
            raise ValueError(f"A {self.noun} called {kind.name!r} is already registered.")
        self[kind.name] = kind()
        return kind
