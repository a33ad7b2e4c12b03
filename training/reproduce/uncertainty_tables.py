"""Sections of the docs on prior, posterior and samples, and on questions for the odd one out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vif.bench.uncertainty import NAMED, SIDES


def uncertainty_sections(results: Path) -> dict[str, str]:
    """The sections ``uncertainty`` and ``odd``, from the files of the same names."""
    found = json.loads((results / "uncertainty.json").read_text())
    (odd,) = json.loads((results / "odd.json").read_text())
    return {"uncertainty": _uncertainty(found), "odd": _odd(odd)}


def _uncertainty(found: dict[str, Any]) -> str:
    ambiguous = found["ambiguous"]
    lines = [
        f"{found['n']} questions with one right place and {ambiguous['n']} with two, of the "
        f"{found['split']} split; {found['samples']} samples. In %, differences to the prior in "
        "points.",
        "",
        "| peak of the map | " + " | ".join(SIDES) + " |",
        "|---" * (len(SIDES) + 1) + "|",
        _pointing("in the true place", found["pointing"]),
        _pointing("two places: in that of a given answer", ambiguous["pointing"]),
        "",
        "| predicted, AUROC | wrong answers | questions with two places |",
        "|---|---|---|",
    ]
    for name, value in found["auroc"].items():
        cells = ["" if v is None else f"{v:.2f}" for v in (value, ambiguous["auroc"].get(name))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"A sample changes {100 * found['changed']:.1f} % of the answers. Where two places are "
        f"right, the prior's map has {100 * NAMED:.0f} % or more at one of them in "
        f"{100 * ambiguous['one_place']:.1f} % of the questions and at both in "
        f"{100 * ambiguous['both_places']:.1f} %.",
    ]
    return "\n".join(lines)


def _pointing(title: str, sides: dict[str, Any]) -> str:
    cells = []
    for name in SIDES:
        side = sides[name]
        cell = f"{100 * side['share']:.1f}"
        if "difference" in side:
            low, high = (100 * v for v in side["difference_interval"])
            cell += f" ({100 * side['difference']:+.1f} [{low:+.1f}, {high:+.1f}])"
        cells.append(cell)
    return f"| {title} | " + " | ".join(cells) + " |"


def _odd(run: dict[str, Any]) -> str:
    lines = [f"| *odd* alone, n = {run['n']} | right, % | less plain, points |", "|---|---|---|"]
    for name, found in run["methods"].items():
        gained = ""
        if name != "plain":
            low, high = (100 * v for v in found["difference_interval"]["all"])
            gained = f"{100 * found['difference']['all']:+.1f} [{low:+.1f}, {high:+.1f}]"
        lines.append(f"| {name} | {100 * found['accuracy']['all']:.1f} | {gained} |")
    return "\n".join(lines)
