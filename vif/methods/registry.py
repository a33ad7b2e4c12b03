"""All methods by name: those that registered themselves, and every map with every edit."""

from __future__ import annotations

from copy import copy

from vif.errors import InputError
from vif.methods.base import METHODS, Method
from vif.methods.composites import NAMED, PLUS, compose


def find(name: str) -> Method:
    """The method of that name; ``"map+edit"`` names a composite, see `vif.methods.composites`.

    Raises:
        InputError: If there is none.
    """
    if name in NAMED:
        method = copy(METHODS[NAMED[name]])
        method.name = name
        return method
    if PLUS in name:
        return compose(name)
    if name not in METHODS:
        raise InputError(
            f"Unknown method {name!r}: expected one of {', '.join(METHODS)}, or a map and an edit "
            "such as 'relative+cut'."
        )
    return METHODS[name]


def names() -> list[str]:
    """Names of all methods, in order of registration."""
    return list(METHODS)
