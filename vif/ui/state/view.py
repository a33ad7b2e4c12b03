"""How a result is shown; changing it never runs the model. Independent of Gradio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

# Attention as it is, with its sinks marked or removed, or as a difference from the baseline.
SHOWS = ("raw", "marked", "removed", "difference")
SCALES = ("whole", "tiles", "all")


@dataclass(frozen=True)
class View:
    """What the browser shows of a result.

    Attributes:
        token: Answer token, 0-based.
        layer: Decoder layer, 0-based, or None for the mean of all.
        head: Head, 0-based, or ``"mean"`` / ``"max"``.
        normalised: Show where only: the map of each answer sums to 1.
        opacity: Opacity of the largest value, in [0, 1].
        scale: One of `SCALES`: the look at the whole image, its parts, or both added.
        show: One of `SHOWS`.
        rings: Draw the components of the injected mixture.
        fixed: One scale for all layers instead of one for the shown layer.
    """

    token: int = 0
    layer: int | None = None
    head: int | str = "mean"
    normalised: bool = False
    opacity: float = 0.75
    scale: str = "whole"
    show: str = "raw"
    rings: bool = True
    fixed: bool = False

    @classmethod
    def read(cls, data: Any) -> View:
        """Returns the view that a browser or a link describes; invalid values are ignored."""
        data, view = data if isinstance(data, dict) else {}, cls()
        head, layer = data.get("head"), data.get("layer")
        opacity = data.get("opacity")
        return cls(
            token=_index(data.get("token")) or 0,
            layer=_index(layer),
            head=head if head in ("mean", "max") else _index(head, "mean"),
            normalised=data.get("normalised") is True,
            opacity=_share(opacity, view.opacity),
            scale=data["scale"] if data.get("scale") in SCALES else view.scale,
            show=data["show"] if data.get("show") in SHOWS else view.show,
            rings=data.get("rings") is not False,
            fixed=data.get("fixed") is True,
        )


def _index(value: Any, otherwise: Any = None) -> Any:
    """A whole number that is not negative, also as text; anything else is `otherwise`."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    is_index = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_index else otherwise


def _share(value: Any, otherwise: float) -> float:
    """A number in [0, 1]; anything else is `otherwise`."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and 0 <= value <= 1 else otherwise
