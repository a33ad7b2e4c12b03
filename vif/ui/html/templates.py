"""Jinja2 templates of the page; everything that is not a template's own text is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vif.charts.style import method_label
from vif.ui.html.words import counted, number, percent, visible_token

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "counted": counted,
    "label": method_label,
    "number": number,
    "percent": percent,
    "visible": visible_token,
}


def fill(template: str, **values: Any) -> str:
    """Returns a template with values in it as HTML.

    Args:
        template: Name of a file in ``templates/`` without ``.html``.
        values: Whatever the template names; a missing one is an error.
    """
    return _ENVIRONMENT.get_template(f"{template}.html").render(**values)


def notice(words: str, is_problem: bool = False) -> str:
    """Returns the message line: a problem is announced at once, anything else politely."""
    return fill("notice", words=words, is_problem=is_problem) if words else ""
