"""Composites: any map meets any edit, by name: ``"relative+cut"``."""

from __future__ import annotations

from typing_extensions import override

from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.methods.base import Group, Method, Request
from vif.methods.edits.base import EDITS, EditSpec
from vif.methods.maps.base import MAPS, Map
from vif.model.backbone import Backbone
from vif.recording import Recorder

PLUS = "+"
# Composites that have a name of their own, and read their map in the answer's own pass.
NAMED = {
    "vif+mix": "vif",
    "answers+mix": "vif-free",
    "uniform+mix": "uniform",
    "random+mix": "random",
    "truth+mix": "oracle",
    "look+mix": "look",
}


class Composite(Method):
    """A map and what is done with it."""

    group = Group.COMPOSITE

    def __init__(self, where: Map, edit: EditSpec) -> None:
        self.name = f"{where.name}{PLUS}{edit.name}"
        self.label = composite_label(self.name)
        self.summary = f"{where.summary} {edit.summary}"
        self.extra_passes = where.extra_passes
        self.uses_ranges = where.uses_ranges or edit.uses_ranges
        self.options = where.options + edit.options
        self.identity, self.place = edit.identity, where.place
        self.where, self.edit = where, edit

    @override
    def obstacle(self, backbone: Backbone, adapter: VIFAdapter | None) -> str:
        """What the map lacks: every edit works on every model."""
        return self.where.obstacle(backbone, adapter)

    @override
    def tap(self, request: Request) -> Recorder:
        """Makes the map, then the edit."""
        return self.edit.make(request, self.where.make(request))


def parts(name: str) -> tuple[str, ...]:
    """Where a method has its settings from: its own name, or ``"map+"`` and ``"+edit"``."""
    if name in NAMED:
        return (NAMED[name],)
    where, plus, edit = name.partition(PLUS)
    return (f"{where}{PLUS}", f"{PLUS}{edit}") if plus else (name,)


def composite_label(name: str) -> str:
    """``"relative+cut"`` as people read it."""
    return name.replace(PLUS, f" {PLUS} ").capitalize()


def compose(name: str) -> Method:
    """The method of a name ``"map+edit"``.

    Raises:
        InputError: If either part is unknown; the message lists what exists.
    """
    where, _, edit = name.partition(PLUS)
    if where not in MAPS:
        raise InputError(f"Unknown map {where!r} in {name!r}: expected one of {', '.join(MAPS)}.")
    if edit not in EDITS:
        raise InputError(f"Unknown edit {edit!r} in {name!r}: expected one of {', '.join(EDITS)}.")
    return Composite(MAPS[where], EDITS[edit])
