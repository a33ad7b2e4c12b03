"""What is known by its name: methods, probes, and the maps and edits of methods."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")
Kind = TypeVar("Kind", bound=type[Any])


class Registry(dict[str, T]):
    """What is registered, by its name.

    Attributes:
        noun: What is registered, for errors.
    """

    def __init__(self, noun: str) -> None:
        super().__init__()
        self.noun = noun

    def add(self, name: str, found: T) -> None:
        """Makes something known by a name.

        Raises:
            ValueError: If the name is taken.
        """
        if name in self:
            raise ValueError(f"A {self.noun} called {name!r} is already registered.")
        self[name] = found

    def register(self, kind: Kind) -> Kind:
        """Class decorator that adds an instance of a class by its ``name``; errors as in `add`."""
        self.add(kind.name, kind())
        return kind
