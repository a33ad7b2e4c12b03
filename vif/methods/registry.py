"""All methods by name: those that registered themselves, and every map with every edit."""

from __future__ import annotations

from copy import copy

from vif.errors import InputError
from vif.methods.base import METHODS, Group, Method
from vif.methods.composites import NAMED, PLUS, compose, composite_label


def find(name: str) -> Method:
    """The method of that name; ``"map+edit"`` names a composite, see `vif.methods.composites`.

    Raises:
        InputError: If there is none.
    """
    if name in NAMED:
        method = copy(METHODS[NAMED[name]])
        method.name, method.group, method.label = name, Group.COMPOSITE, composite_label(name)
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


def grouped() -> dict[Group, list[Method]]:
    """All methods by group, groups in the order of menus and methods by label."""
    listed = sorted(METHODS.values(), key=lambda method: method.label.lower())
    found = {group: [method for method in listed if method.group is group] for group in Group}
    return {group: members for group, members in found.items() if members}


def label(name: str) -> str:
    """A method's name for people; one that this version does not know is made readable."""
    try:
        return find(name).label
    except InputError:
        return composite_label(name.replace("_", " "))


def colour(name: str) -> str | None:
    """A method's own colour, ``"#rrggbb"``; None if it has none or is not known."""
    try:
        return find(name).colour
    except InputError:
        return None
