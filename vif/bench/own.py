"""Accuracy on a person's own questions: paired differences with intervals, fixed, broken, cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vif import metrics
from vif.bench.outcomes import interval
from vif.bench.scoring import AUTO, check_rule, rule_of, score
from vif.bench.tables import columns, percent, span
from vif.data import Data, Example, Skipped
from vif.errors import InputError
from vif.inputs.boxes import Box
from vif.trace import Trace

# An answer with at least half of the marks counts as right where a yes or no is needed.
RIGHT = 0.5


def scorable(data: Data, rule: str) -> Data:
    """The questions whose answers can be scored; the others are listed.

    Raises:
        InputError: If there are none.
    """
    kept, skipped = [], list(data.skipped)
    for example in data.examples:
        try:
            check_rule(rule_of(example) if rule == AUTO else rule, example)
            kept.append(example)
        except InputError as error:
            skipped.append(Skipped(example.name, str(error)))
    if not kept:
        raise InputError(
            f"{data.name!r} has no question whose answer can be scored; {skipped[-1].where}: "
            f"{skipped[-1].why}."
        )
    return Data(data.name, data.kind, kept, skipped)


class Scorer:
    """Records an answer, its score and its cost; a `vif.measure.asking.Measure`."""

    def __init__(self, rule: str = AUTO) -> None:
        self.rule = rule

    def __call__(
        self,
        example: Example,
        boxes: Sequence[Box],  # noqa: ARG002
        traces: Mapping[str, Trace],
    ) -> dict[str, Any]:
        """Per method ``answer``, ``score``, ``rule``, ``seconds``, ``share`` and ``group``."""
        rule = rule_of(example) if self.rule == AUTO else self.rule
        return {
            method: {
                "answer": trace.answer,
                "score": round(score(rule, trace.answer, example), 5),
                "rule": rule,
                "seconds": trace.meta["seconds"],
                "share": [round(float(v), 5) for v in metrics.image_share(trace)],
                "group": example.group,
            }
            for method, trace in traces.items()
        }


def summarise(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records of `vif.measure.ask_all` with a `Scorer`, summed up.

    Returns:
        Per method ``n``, ``accuracy`` with its ``interval``, ``difference`` to the first method,
        paired, with its ``difference_interval``, ``fixed`` and ``broken`` (right only with, only
        without it), ``agree``, ``groups`` (``{"n", "accuracy", "difference"}`` by name), ``rules``
        (how many questions by rule), ``share`` by layer, and ``cost`` (seconds per answer and their
        ratio to the first method's, median over questions).
    """
    found = sorted((r for r in records if "found" in r), key=lambda r: r["key"])
    if not found:
        return {}
    images = np.array([r["source"] for r in found])
    names = list(found[0]["found"])
    answers = {name: [r["found"][name] for r in found] for name in names}
    base = answers[names[0]]
    return {name: _summary(answers[name], base, images) for name in names}


def _summary(
    ours: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]], images: np.ndarray
) -> dict[str, Any]:
    scores, before = (np.array([a["score"] for a in some]) for some in (ours, base))
    gain = scores - before
    group = np.array([a["group"] for a in ours])
    rules = [a["rule"] for a in ours]
    same = [a["answer"] == b["answer"] for a, b in zip(ours, base, strict=True)]
    seconds, base_seconds = (np.array([a["seconds"] for a in some]) + 1e-9 for some in (ours, base))
    return {
        "n": len(ours),
        "accuracy": _mean(scores),
        "interval": interval(scores, images),
        "difference": _mean(gain),
        "difference_interval": interval(gain, images),
        "fixed": int(((scores >= RIGHT) & (before < RIGHT)).sum()),
        "broken": int(((scores < RIGHT) & (before >= RIGHT)).sum()),
        "agree": _mean(np.array(same)),
        "groups": {
            str(name): {
                "n": int((group == name).sum()),
                "accuracy": _mean(scores[group == name]),
                "difference": _mean(gain[group == name]),
            }
            for name in dict.fromkeys(group)
            if name
        },
        "rules": {rule: rules.count(rule) for rule in dict.fromkeys(rules)},
        "share": [_mean(layer) for layer in np.array([a["share"] for a in ours]).T],
        "cost": {
            "seconds": _mean(seconds),
            "ratio": round(float(np.median(seconds / base_seconds)), 3),
        },
    }


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 5)


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A line per method, then one per group."""
    base = next(iter(found))
    first = found[base]
    rules = ", ".join(f"{n} by {rule}" for rule, n in first["rules"].items())
    rows = [["method", "accuracy", f"difference to {base}", "fixed", "broken", "agree", "time"]]
    for name, one in found.items():
        difference = f"{100 * one['difference']:+.1f} {span(one['difference_interval'], '+')}"
        rows.append(
            [
                name,
                f"{percent(one['accuracy'])} {span(one['interval'])}",
                "" if name == base else difference,
                str(one["fixed"]),
                str(one["broken"]),
                percent(one["agree"]),
                f"x{one['cost']['ratio']:.2f}",
            ]
        )
    parts = [
        f"{first['n']} questions, scored {rules}; in %, [95 % interval over images]",
        columns(rows),
    ]
    if first["groups"]:
        head = ["group", "n", *found]
        lines = [
            [name, str(one["n"]), *(percent(found[m]["groups"][name]["accuracy"]) for m in found)]
            for name, one in first["groups"].items()
        ]
        parts.append(columns([head, *lines]))
    return "\n\n".join(parts)
