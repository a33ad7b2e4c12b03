"""Accuracy and attention on scenes, method by method, with intervals, costs and controls."""

from vif.bench.outcomes import by_group, interval
from vif.bench.questions import ALL, HARD, Item, items
from vif.bench.running import BASELINE, BATCH_SIZE, run, run_controls, supported
from vif.bench.search import Change, Rate, Search, find_change, kind_of, read_rate, text_free
from vif.bench.tables import table

__all__ = [
    "ALL",
    "BASELINE",
    "BATCH_SIZE",
    "HARD",
    "Change",
    "Item",
    "Rate",
    "Search",
    "by_group",
    "find_change",
    "interval",
    "items",
    "kind_of",
    "read_rate",
    "run",
    "run_controls",
    "supported",
    "table",
    "text_free",
]
