"""Which curves a figure shows, what each is called and how it looks. Knows no drawing library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from vif.charts.style import OTHER_COLOURS, method_colour, method_label
from vif.measure.curves import FIRST
from vif.measure.result import MeasuredCurves
from vif.measure.summary import EVERY

_MODEL_COLOURS = ("#64748b", "#e2661d", *OTHER_COLOURS, "#2f7fc1", "#c08a12")
DASHES = ("solid", "dash", "dot", "dashdot")
MARKERS = ("circle", "square", "triangle", "diamond")


@dataclass(frozen=True)
class Line:
    """One curve of a chart, with its interval.

    Attributes:
        label: For a person.
        colour: Of the method; of model and method where there are several models.
        dash: One of `DASHES`, by the length of unrelated text or the group of text lengths.
        marker: One of `MARKERS`, by the model.
        depth: Where every layer lies: its number, or its share of the depth where models differ in
            it.
        entry: As in `MeasuredCurves`.
    """

    label: str
    colour: str
    dash: str
    marker: str
    depth: list[float]
    entry: dict[str, Any]

    def at_known(self, *names: str) -> list[list[Any]]:
        """The depth and some statistics, without the layers that have no attention."""
        columns = (self.depth, *(self.entry[name] for name in names))
        is_known = [value is not None for value in self.entry["mean"]]
        return [list(compress(column, is_known)) for column in columns]


def depths_differ(results: Sequence[MeasuredCurves]) -> bool:
    """Whether layers can only be compared by their share of the depth."""
    return len({result.num_layers for result in results}) > 1


def lines(
    results: Sequence[MeasuredCurves], metric: str, tokens: str = FIRST, by_length: bool = False
) -> list[Line]:
    """The curves of one metric, one per model and method.

    Args:
        results: What was measured; several may be of one model.
        metric: Name of a metric.
        tokens: ``"first"`` or ``"all"``.
        by_length: Whether questions are split by the number of text tokens before them.
    """
    names = names_of(results)
    owners = list(dict.fromkeys(names))
    pairs = list(dict.fromkeys((name, e["method"]) for name, r in zip(names, results, strict=True)
                               for e in r.entries))  # fmt: skip
    found = [
        (name, result, entry)
        for name, result in zip(names, results, strict=True)
        for entry in result.entries
        if entry["metric"] == metric
        and entry["tokens"] == tokens
        and (entry["text_tokens"] != EVERY) == by_length
    ]
    kinds = list(dict.fromkeys(_kind(entry) for *_, entry in found))
    made = []
    for owner, result, entry in found:
        method, kind = entry["method"], _kind(entry)
        place = pairs.index((owner, method))
        label, colour = method_label(method), method_colour(method, place)
        if len(owners) > 1:
            label = f"{owner}: {label}"
            colour = _MODEL_COLOURS[place % len(_MODEL_COLOURS)]
        last = max(result.num_layers - 1, 1)
        scale = last if depths_differ(results) else 1
        made.append(
            Line(
                f"{label}, {kind}" if len(kinds) > 1 else label,
                colour,
                DASHES[kinds.index(kind) % len(DASHES)],
                MARKERS[owners.index(owner) % len(MARKERS)],
                [layer / scale for layer in range(len(entry["mean"]))],
                entry,
            )
        )
    return made


def names_of(results: Sequence[MeasuredCurves]) -> list[str]:
    """Labels of the results: the model, then data and number where labels would be equal."""
    plain = [result.model for result in results]
    methods = [(r.model, name) for r in results for name in r.provenance["methods"]]
    if len(set(methods)) == len(methods):
        return plain
    longer = [f"{r.model}, {r.provenance['data']['name']}" for r in results]
    if len(set(longer)) == len(longer):
        return longer
    return [f"{name} ({i + 1})" for i, name in enumerate(longer)]


def _kind(entry: dict[str, Any]) -> str:
    if entry["text_tokens"] != EVERY:
        return f"{entry['text_tokens']} text tokens"
    return f"{entry['text']} tokens of text before" if entry["text"] else "no text before"
