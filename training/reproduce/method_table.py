"""All methods on the bundled model as a Markdown table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vif.bench import ALL, HARD
from vif.bench.tables import percent, signed

NOTHING = "_Not run yet: `make reproduce` writes this table._"
# Controls, shown last: other methods are compared with them.
CONTROLS = ("uniform", "random", "oracle")


def method_section(results: Path) -> str:
    """Text of the section ``methods``.

    Args:
        results: Folder that holds ``methods.json`` if it has been run.
    """
    path = results / "methods.json"
    if not path.is_file():
        return NOTHING
    return method_table(json.loads(path.read_text())[0])


def method_table(run: Mapping[str, Any]) -> str:
    """One line per method: accuracy, differences, cost, and what is left beyond its controls.

    Plain comes first, its controls last, the others by their difference on the hard groups.

    Args:
        run: An entry of the bench's JSON; see `vif.bench.table`. ``later`` names the methods whose
            entries are of another run, in which plain gave the same answers.
    """
    methods = run["methods"]
    base = next(iter(methods))

    def place(name: str) -> tuple[int, float]:
        rank = 0 if name == base else 1 + (name in CONTROLS)
        return rank, -methods[name]["difference"][HARD]

    lines = [
        f"{run['n']} questions of the {run['split']} split, seed {run['seed']}; accuracy in %, "
        f"differences to {base} in points with 95 % intervals, time as a ratio to {base} in the "
        "same run (+ p: passes over the prompt, + b: branches per generated token). Beyond uniform "
        "and beyond random: the method less an even map and a map at a random place that give the "
        f"image as much of the attention in every layer, on {HARD}; empty where a method gives the "
        "image no more than it had.",
        "",
        f"| method | {ALL} | difference | {HARD}: difference | fixed / broken | time | beyond "
        "uniform | beyond random |",
        "|---" * 8 + "|",
        *(_row(run, name, name == base) for name in sorted(methods, key=place)),
    ]
    later = [name for name in methods if name in run.get("later", ())]
    if later:
        lines += [
            "",
            f"From a later run on the same questions, in which {base} gave the same answers: "
            f"{', '.join(later)}. Their time is a ratio to {base} in that run.",
        ]
    skipped = run.get("skipped", {})
    if skipped:
        lines += ["", *(f"Not run: {name}. {reason}" for name, reason in skipped.items())]
    return "\n".join(lines)


def _row(run: Mapping[str, Any], name: str, is_base: bool) -> str:
    found, controls = run["methods"][name], run.get("controls", {}).get(name, {})
    cells = [name, percent(found["accuracy"][ALL])]
    cells += ["" if is_base else signed(found, "difference", group) for group in (ALL, HARD)]
    cells += ["" if is_base else f"{found['fixed']} / {found['broken']}", _cost(found["cost"])]
    for control in ("uniform", "random"):
        made = controls.get(control)
        cells.append("" if made is None else signed(made, "beyond", HARD))
    return "| " + " | ".join(cells) + " |"


def _cost(cost: Mapping[str, Any]) -> str:
    extra = [
        f"+ {cost[key]} {unit}"
        for key, unit in (("extra_passes", "p"), ("branches", "b"))
        if cost[key]
    ]
    return " ".join([f"{cost['ratio']:.2f}", *extra])
