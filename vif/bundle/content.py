"""What a bundle holds, and what it is called inside the zip. Knows no files and no models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from vif.inputs.boxes import Box
from vif.settings import Settings
from vif.trace import Trace

FORMAT, FORMAT_VERSION = "vif-lens", 1
INDEX, PICTURE, TRACES, SUFFIX = "bundle.json", "picture.png", "traces/", ".npz"
MOST_METHODS = 16
# Method names that may be file names in the zip: never a path.
METHOD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")


@dataclass(frozen=True, eq=False)
class Bundle:
    """One question, its answers, and how they were shown.

    Attributes:
        picture: The picture that was asked about, RGB.
        traces: One trace per answer, in the order they are shown.
        settings: What was set for all methods.
        answer: The right answer, or None where it is not known.
        boxes: What was asked about (x0, y0, x1, y1), in [0, 1] image coordinates.
        note: One sentence on what to see.
        view: How the answers were shown (layer, head, token, ...), as JSON values.
        look: What a person marked on the picture, as JSON values; None if nothing.
        renderer: How the adapter turns a mixture into a map, see `vif.adapter.mixture.RENDERERS`.
        provenance: Where the numbers come from, as JSON values; see `provenance`.
    """

    picture: Image.Image
    traces: dict[str, Trace]
    settings: Settings = field(default_factory=Settings)
    answer: str | None = None
    boxes: tuple[Box, ...] = ()
    note: str = ""
    view: Mapping[str, Any] = field(default_factory=dict)
    look: Mapping[str, Any] | None = None
    renderer: str = "density"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> Trace:
        """Any trace, for what they all share."""
        return next(iter(self.traces.values()))

    @property
    def question(self) -> str:
        """The question with its picture, context and boxes."""
        return self.first.meta["question"]

    @property
    def context(self) -> str:
        """The unrelated text before the question."""
        return self.first.meta["context"]

    @property
    def model(self) -> str:
        """Name of the model that answered."""
        return self.first.meta["model"]


def trace_name(method: str) -> str:
    """Name of a trace inside the zip."""
    return f"{TRACES}{method}{SUFFIX}"
