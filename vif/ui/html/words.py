"""Tokens, numbers and counts as a person reads them."""

from __future__ import annotations


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
