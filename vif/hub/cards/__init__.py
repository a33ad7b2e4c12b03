"""The cards of what is uploaded, with its figures and limits, filled into the templates here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

PAPER = "2604.12508"
_TEMPLATES = Environment(
    # Markdown for a file, not HTML for a browser.
    loader=PackageLoader("vif.hub", "cards"),
    autoescape=False,
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def card(kind: str, **values: Any) -> str:
    """Returns a card as Markdown.

    Args:
        kind: ``"model"``, ``"adapter"`` or ``"dataset"``.
        values: What its template asks for.
    """
    return _TEMPLATES.get_template(f"{kind}.md").render(paper=PAPER, **values)


def figures(results: Path) -> dict[str, dict[str, Any]]:
    """Returns what the benchmark says about the bundled model, by method; empty without results.

    Args:
        results: Folder with ``bench.json``.
    """
    path = results / "bench.json"
    if not path.is_file():
        return {}
    run = json.loads(path.read_text(encoding="utf-8"))[0]
    shared = {"n": run["n"], "split": run["split"]}
    return {
        name: shared
        | {
            "accuracy": 100 * found["accuracy"]["all"],
            "low": 100 * found["interval"]["all"][0],
            "high": 100 * found["interval"]["all"][1],
            "fixed": found.get("fixed", 0),
            "broken": found.get("broken", 0),
        }
        for name, found in run["methods"].items()
    }
