"""Colours of the answers on the page, from the one colour that each method brings."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.colors import to_hex, to_rgb

from vif import methods
from vif.charts.style import OTHER_COLOURS

# The surfaces that words lie on, see `static/page.css`.
_LIGHT, _DARK = "#f1f4f8", "#1f2937"
_READABLE = 5.0  # WCAG 2.2 asks for 4.5
_STEP = 0.02


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, in [1, 21]; WCAG 2.2, relative luminance."""
    low, high = sorted(_luminance(colour) + 0.05 for colour in (one, other))
    return high / low


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(share * value for share, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def mixed(colour: str, towards: str, share: float) -> str:
    """A colour with a share of another in it, in [0, 1]."""
    pairs = zip(to_rgb(colour), to_rgb(towards), strict=True)
    red, green, blue = ((1 - share) * one + share * other for one, other in pairs)
    return to_hex((red, green, blue))


def readable(colour: str, surface: str) -> str:
    """The colour, moved towards black or white until text in it is readable on a surface."""
    towards = "black" if _luminance(surface) > 0.5 else "white"
    steps = (mixed(colour, towards, _STEP * i) for i in range(round(1 / _STEP) + 1))
    return next(tone for tone in steps if contrast(tone, surface) >= _READABLE)


def style() -> str:
    """CSS: a tone for words on light and dark pages, heat and rings for the picture.

    Heat and rings lie on the picture, which is the same on both.
    """
    colours = {name: methods.colour(name) for name in methods.names()}
    colours |= {f"other-{i}": colour for i, colour in enumerate(OTHER_COLOURS)}
    own = {name: colour for name, colour in colours.items() if colour}
    light, dark = (
        "".join(f"--vl-{name}:{readable(colour, surface)};" for name, colour in own.items())
        for surface in (_LIGHT, _DARK)
    )
    classes = "".join(
        f".vl-{name}{{--vl-tone:var(--vl-{name});--vl-heat:{colour};"
        f"--vl-ring:{mixed(colour, 'black', 0.3)}}}"
        for name, colour in own.items()
    )
    return f":root,.light{{{light}}}.dark{{{dark}}}{classes}"


def colour_classes(names: Iterable[str]) -> dict[str, str]:
    """Returns the class that colours each answer, in the same order as the curves' colours.

    `style` defines the colours of the classes.
    """
    return {
        name: f"vl-{name}" if methods.colour(name) else f"vl-other-{position % len(OTHER_COLOURS)}"
        for position, name in enumerate(names)
    }
