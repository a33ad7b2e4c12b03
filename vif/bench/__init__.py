"""Accuracy and attention on scenes, method by method, with intervals, costs and controls."""

from vif.bench.outcomes import by_group, interval
from vif.bench.questions import ALL, HARD, BenchItem, items
from vif.bench.running import BASELINE, BATCH_SIZE, run, run_controls, supported
from vif.bench.search import (
    ChangedAnswer,
    ChangeRate,
    SearchResult,
    find_change,
    kind_of,
    read_rate,
    results_without_text,
)
from vif.bench.tables import table

__all__ = [
    "ALL",
    "BASELINE",
    "BATCH_SIZE",
    "HARD",
    "BenchItem",
    "ChangeRate",
    "ChangedAnswer",
    "SearchResult",
    "by_group",
    "find_change",
    "interval",
    "items",
    "kind_of",
    "read_rate",
    "results_without_text",
    "run",
    "run_controls",
    "supported",
    "table",
]
