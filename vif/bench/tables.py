"""One run of the benchmark as plain text: a line per method first, the details behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vif.bench.controls import CONTROLS
from vif.bench.questions import ALL, HARD
from vif.scenes import GROUP_OF, GROUPS

SHOWN = (ALL, HARD)
PLACES = {"in_box": "into a true box", "elsewhere": "elsewhere"}


def table(run: Mapping[str, Any]) -> str:
    """All tables of one run.

    Args:
        run: An entry of the bench's JSON: ``text``, ``n``, ``seed``, ``split``, ``methods`` of
            `vif.bench.run`; and if there are any ``skipped``, reasons by method, and ``controls``
            of `vif.bench.run_controls`.
    """
    methods = run["methods"]
    base = next(iter(methods))
    parts = [
        f"text {run['text']} tokens, {run['n']} questions, {run['split']} split, seed "
        f"{run['seed']}; accuracy in %, [95 % interval], differences to {base} in points",
        _overview(methods, base),
        *(f"not run: {name}: {reason}" for name, reason in run.get("skipped", {}).items()),
    ]
    if run.get("controls"):
        parts.append(_controls(methods, run["controls"]))
    if places := by_place(methods):
        parts.append(f"where a map points, {HARD}:\n" + columns(places))
    parts += [_group(methods, group) for group in GROUPS if group in methods[base]["accuracy"]]
    parts += [
        _layers(methods, "share", "share of attention on the image by layer, %"),
        _layers(methods, "in_box", "share of that inside the true box by layer, %"),
    ]
    return "\n\n".join(parts)


def _overview(methods: Mapping[str, Any], base: str) -> str:
    shown = [group for group in SHOWN if group in methods[base]["accuracy"]]
    head = ["method"]
    for group in shown:
        head += [group, "difference"]
    head += ["fixed", "broken", "agree", "pointing", "time", "passes", "branches"]
    rows = []
    for name, found in methods.items():
        row = [name]
        for group in shown:
            row += [percent(found["accuracy"][group])]
            row += ["" if name == base else signed(found, "difference", group)]
        pointing = "" if found["pointing"] is None else percent(found["pointing"])
        row += [str(found["fixed"]), str(found["broken"]), percent(found["agree"]), pointing]
        cost = found["cost"]
        row += [f"x{cost['ratio']:.2f}", f"+{cost['extra_passes']}", f"+{cost['branches']}"]
        rows.append(row)
    return columns([head, *rows])


def by_place(methods: Mapping[str, Any], shown: Sequence[str] = ()) -> list[list[str]]:
    """Rows of a table: accuracy of all methods where the map of one points right, and where not.

    Args:
        methods: Of one run, as in `table`.
        shown: Whose maps; of all that have one if empty.

    Returns:
        A head and two rows per method; nothing if no map points right at times, and wrong at times.
    """
    rows = []
    for name, found in methods.items():
        for side, place in PLACES.items():
            counted = found.get("by_pointing", {}).get(side)
            if counted and (not shown or name in shown):
                accuracy = [percent(counted["accuracy"][other]) for other in methods]
                rows.append([f"{name} points {place}", str(counted["n"]), *accuracy])
    return [["", "n", *methods], *rows] if rows else []


def _controls(methods: Mapping[str, Any], controls: Mapping[str, Any]) -> str:
    head = ["at matched visual mass", "control", "share", "of control", "its accuracy"]
    rows = []
    for name, found in controls.items():
        lifted = [layer for layer, strength in enumerate(found["strength"]) if strength > 0]
        for control in CONTROLS:
            made = found[control]
            shares = [_mean_share(some, lifted) for some in (methods[name], made)]
            beyond = [signed(made, "beyond", group) for group in SHOWN if group in made["beyond"]]
            rows.append([name, control, *shares, percent(made["accuracy"][ALL]), *beyond])
    return columns([[*head, *(f"beyond it, {group}" for group in SHOWN)], *rows])


def _mean_share(found: Mapping[str, Any], layers: Sequence[int]) -> str:
    """Over the layers whose share the method lifts."""
    return percent(sum(found["share"][layer] for layer in layers) / len(layers))


def _group(methods: Mapping[str, Any], group: str) -> str:
    first = next(iter(methods.values()))
    families = [f for f in first["families"] if GROUP_OF[f] == group]
    counts = [f"{family} ({first['family_n'][family]})" for family in families]
    rows = [
        [
            name,
            f"{percent(found['accuracy'][group])} {span(found['interval'][group])}",
            signed(found, "difference", group),
            *(percent(found["families"][family]) for family in families),
        ]
        for name, found in methods.items()
    ]
    return columns([[group, "accuracy", "difference", *counts], *rows])


def _layers(methods: Mapping[str, Any], key: str, title: str) -> str:
    depth = len(next(iter(methods.values()))["share"])
    rows = [
        [name, *("-" if value is None else f"{100 * value:.0f}" for value in found[key])]
        for name, found in methods.items()
    ]
    return f"{title}\n" + columns([["layer", *map(str, range(depth))], *rows])


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f}"


def span(interval: Iterable[float], sign: str = "") -> str:
    """An interval in percent or points."""
    low, high = interval
    return f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def signed(found: Mapping[str, Any], key: str, group: str) -> str:
    """A difference with its interval, in points."""
    return f"{100 * found[key][group]:+.1f} {span(found[f'{key}_interval'][group], '+')}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as aligned text, the first column to the left; short rows are allowed."""
    width = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    return "\n".join(
        "  ".join(
            cell.ljust(width[i]) if i == 0 else cell.rjust(width[i]) for i, cell in enumerate(row)
        )
        for row in rows
    )
