"""Names, numbers and colour classes as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable

from vif.draw.charts import OTHER_COLOURS, method_label


def tones(names: Iterable[str]) -> dict[str, str]:
    """Returns the class that colours each answer, in the same order as the curves' colours."""
    own = {"plain": "vl-plain", "vif": "vl-vif", "vif-free": "vl-free"}
    return {
        name: own.get(name, f"vl-other-{position % len(OTHER_COLOURS)}")
        for position, name in enumerate(names)
    }


def short_label(method: str) -> str:
    """Returns the name of a method for the inside of a sentence or the head of a column."""
    return {"vif": "VIF", "vif-free": "Training-free VIF"}.get(method) or method_label(method)


def visible_token(token: str) -> str:
    """Returns a token as a person can see it: blanks and line ends get a sign."""
    shown = token.replace("\n", "⏎").replace("\t", "⇥")
    return shown if shown.strip() else "␣" * max(1, len(shown))


def number(value: float) -> str:
    """Returns a number with about two significant digits."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.2g}"


def percent(value: float) -> str:
    """Returns a share in percent, one decimal below ten."""
    return f"{100 * value:.0f} %" if value >= 0.0995 else f"{100 * value:.1f} %"


def counted(count: int, word: str, ending: str = "s") -> str:
    """Returns a count with its word, in the plural unless it is one."""
    return f"{count} {word}{'' if count == 1 else ending}"
