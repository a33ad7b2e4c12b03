"""Accuracy on your own questions: paired differences with intervals, fixed, broken, cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vif import metrics
from vif.bench.outcomes import interval
from vif.bench.scoring import AUTO, IOU, check_rule, rule_of, score
from vif.bench.tables import columns, percent, span
from vif.data import DataSet, Example, SkippedEntry
from vif.errors import InputError
from vif.grounding import BoxFormat, Frame, box_of_map, find_format, iou, pointed_map
from vif.grounding.boxes import FOUND
from vif.inputs.boxes import Box
from vif.measure import LoadedExample
from vif.probes.base import plain
from vif.session import Session
from vif.trace import Trace

# Where the box of an answer is taken from.
ANSWER, MAP = "answer", "map"
# An answer with at least half of the marks counts as right where a yes or no is needed.
RIGHT = 0.5


def scorable(data: DataSet, rule: str) -> DataSet:
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
            skipped.append(SkippedEntry(example.name, str(error)))
    if not kept:
        raise InputError(
            f"{data.name!r} has no question whose answer can be scored; {skipped[-1].where}: "
            f"{skipped[-1].why}."
        )
    return DataSet(data.name, data.kind, kept, skipped)


class Scorer:
    """Records an answer, its score and its cost; a `vif.measure.Measure`."""

    def __init__(self, session: Session, rule: str = AUTO, boxes_from: str = ANSWER) -> None:
        """Finds out how the model writes boxes, if it has to.

        Args:
            session: The model.
            rule: One of `vif.bench.scoring.SCORES`.
            boxes_from: `ANSWER` for what is written, `MAP` for where the method points.
        """
        self.backbone, self.rule, self.boxes_from = session.backbone, rule, boxes_from

    def rule_of(self, example: Example) -> str:
        """The rule by which an example is scored."""
        return rule_of(example) if self.rule == AUTO else self.rule

    def prompt_of(self, example: Example) -> str:
        """What is asked: a box in the words that the family was trained with."""
        if self.rule_of(example) != IOU or self.boxes_from == MAP:
            return example.prompt
        return self._format().ask.format(text=example.question)

    def __call__(self, asked: LoadedExample, traces: Mapping[str, Trace]) -> dict[str, Any]:
        """Per method ``answer``, ``score``, ``rule``, ``seconds``, ``share``, ``group``, ``box``.

        The share is None in layers without attention, the box if none was given.
        """
        rule = self.rule_of(asked.example)
        found = {}
        for method, trace in traces.items():
            box = self._box(asked, trace) if rule == IOU else None
            if rule == IOU:
                overlap = max(iou(box, true) for true in asked.boxes) if box else 0.0
                marks = float(overlap >= FOUND)
            else:
                marks = score(rule, trace.answer, asked.example)
            found[method] = {
                "answer": trace.answer,
                "score": round(marks, 5),
                "rule": rule,
                "seconds": trace.meta["seconds"],
                "share": plain(metrics.image_share(trace)),
                "group": asked.example.group,
                "box": box and [round(side, 5) for side in box],
            }
        return found

    def _box(self, asked: LoadedExample, trace: Trace) -> Box | None:
        """The box of an answer in [0, 1] of the original image."""
        if self.boxes_from == MAP:
            return box_of_map(trace, pointed_map(trace))
        form = self._format()
        written = form.parse(trace.answer)
        if written is None:
            return None
        whole = trace.meta["layout"]["grids"][0]
        frame = Frame.of(self.backbone, asked.image.size, whole["rows"], whole["columns"])
        return frame.to_original(written, form.scale)

    def _format(self) -> BoxFormat:
        return find_format(self.backbone.family.model_type)


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
        "share": plain(np.array([a["share"] for a in ours], float).mean(0)),
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
