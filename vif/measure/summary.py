"""Summary statistics over questions: mean with interval, median and quartiles, by layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vif.measure.curves import ALL, FIRST, METRICS

RESAMPLES = 1000
# Where the groups by number of text tokens in the prompt begin.
EDGES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096)
EVERY = "all"
ATTENUATION = "attenuation"


@dataclass(frozen=True)
class Statistics:
    """Of values (n, L), NaN where nothing is known; every array is (L,).

    Attributes:
        mean: Of the values.
        low: Lower end of its 95 % interval.
        high: Upper end.
        median: Of the values.
        q25: Lower quartile.
        q75: Upper quartile.
        n: How many questions there are.
        images: How many images they are about.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    median: np.ndarray
    q25: np.ndarray
    q75: np.ndarray
    n: int
    images: int


def statistics(values: np.ndarray, clusters: Sequence[Any]) -> Statistics:
    """Mean, quartiles, 95 % interval and counts of values, layer by layer.

    The interval is a percentile bootstrap that draws whole images: questions about one image are
    not independent. Its seed is fixed, so that the same values give the same interval.

    Args:
        values: (n, L); a column needs one known value at least.
        clusters: The image of every row.
    """
    known = ~np.isnan(values)
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    number = index.max() + 1
    sums, counts = np.zeros((number, values.shape[1])), np.zeros((number, values.shape[1]))
    np.add.at(sums, index, np.where(known, values, 0))
    np.add.at(counts, index, known)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(number, np.full(number, 1 / number), RESAMPLES).astype(float)
    with np.errstate(invalid="ignore"):
        # A draw without a known value in a layer is left out there.
        means = (drawn @ sums) / (drawn @ counts)
    low, high = np.nanquantile(means, (0.025, 0.975), axis=0)
    if number == 1:
        # A single image has no spread to estimate.
        low = high = np.full(values.shape[1], np.nan)
    q25, median, q75 = np.nanquantile(values, (0.25, 0.5, 0.75), axis=0)
    mean = np.nanmean(values, 0)
    return Statistics(mean, low, high, median, q25, q75, len(values), int(number))


def summarise(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records of `ask_all` with `vif.measure.measure`, summed up.

    Returns:
        Entries ``{method, text, tokens, text_tokens, metric, n, images, mean, low, high, median,
        q25, q75}``, the last six lists over layers, of one for the metric ``"attenuation"``.
        ``text`` is the length of unrelated text put before the questions, ``tokens`` is ``"first"``
        or ``"all"``, ``text_tokens`` is ``"all"`` or a group of questions by the number of text
        tokens in their prompts, such as ``"64-127"``, over all of ``text``.
    """
    records = sorted((r for r in records if "found" in r), key=lambda r: r["key"])
    entries = []
    for method in records[0]["found"] if records else ():
        for text in sorted({r["key"][0] for r in records}):
            some = [r for r in records if r["key"][0] == text]
            entries += _entries(some, {"method": method, "text": text, "text_tokens": EVERY})
        groups: dict[int, list[dict[str, Any]]] = {}
        for record in records:
            length = record["found"][method]["text_tokens"]
            group = int(np.searchsorted(EDGES, length, side="right")) - 1
            groups.setdefault(group, []).append(record)
        for group in sorted(groups) if len(groups) > 1 else ():
            head = {"method": method, "text": None, "text_tokens": _group_name(group)}
            entries += _entries(groups[group], head)
    return entries


def _group_name(group: int) -> str:
    last = group + 1 == len(EDGES)
    return f"{EDGES[group]}+" if last else f"{EDGES[group]}-{EDGES[group + 1] - 1}"


def _entries(records: Sequence[dict[str, Any]], head: dict[str, Any]) -> list[dict[str, Any]]:
    found = [record["found"][head["method"]] for record in records]
    sources = [record["source"] for record in records]
    entries = []
    for tokens in (FIRST, ALL):
        for metric in METRICS:
            rows = [(f[tokens][metric.name], s) for f, s in zip(found, sources, strict=True)
                    if metric.name in f[tokens]]  # fmt: skip
            if rows:
                key = head | {"tokens": tokens, "metric": metric.name}
                entries.append(key | _numbers([row for row, _ in rows], [s for _, s in rows]))
    scores = [[f["attenuation"]] for f in found]
    key = head | {"tokens": FIRST, "metric": ATTENUATION}
    return [*entries, key | _numbers(scores, sources)]


def _numbers(rows: Sequence[Sequence[float | None]], sources: Sequence[str]) -> dict[str, Any]:
    values = np.array(rows, float)
    unknown = np.asarray(np.isnan(values).all(0))
    made = vars(statistics(np.where(unknown, 0, values), sources))
    return {
        name: made[name] if name in ("n", "images") else _rounded(made[name], unknown)
        for name in ("n", "images", "mean", "low", "high", "median", "q25", "q75")
    }


def _rounded(values: np.ndarray, unknown: np.ndarray) -> list[float | None]:
    return [
        None if is_unknown or np.isnan(v) else round(float(v), 5)
        for v, is_unknown in zip(values, unknown, strict=True)
    ]
