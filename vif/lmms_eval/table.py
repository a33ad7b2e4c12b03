"""Results of lmms-eval beside the published figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from vif.errors import InputError
from vif.lmms_eval.rows import SOURCES, Row


def read_results(folder: Path) -> dict[str, dict[str, float]]:
    """Metrics by task out of what lmms-eval wrote under its ``--output_path``.

    Of several runs of one task the latest counts. The filter that lmms-eval puts behind a metric's
    name (``"exact_match,none"``) is left out.
    """
    found: dict[str, dict[str, float]] = {}
    paths = sorted(folder.rglob("*results.json"), key=lambda path: path.stat().st_mtime)
    for path in paths:
        results = json.loads(path.read_text(encoding="utf-8")).get("results", {})
        for task, metrics in results.items():
            found[task] = {
                name.partition(",")[0]: value
                for name, value in metrics.items()
                if isinstance(value, int | float) and not name.startswith("alias")
            }
    return found


def figure(row: Row, results: Mapping[str, Mapping[str, float]]) -> float | None:
    """A row's figure on the published scale, None if it was not measured.

    Raises:
        InputError: If the task was run and does not have the metric.
    """
    if row.task not in results:
        return None
    if row.metric not in results[row.task]:
        raise InputError(
            f"lmms-eval's task {row.task!r} gave no {row.metric!r}, but "
            f"{', '.join(results[row.task]) or 'nothing'}: another version than 0.7?"
        )
    return results[row.task][row.metric] * row.scale


def count_unjudged(folder: Path, row: Row) -> int:
    """How many answers of the latest run the judge gave no score: lmms-eval marks them -1."""
    paths = sorted(
        folder.rglob(f"*samples_{row.task}.jsonl"), key=lambda path: path.stat().st_mtime
    )
    lines = paths[-1].read_text(encoding="utf-8").splitlines() if paths else []
    return sum(-1 in json.loads(line)[row.metric]["scores"] for line in lines)


def table(rows: Sequence[Row], measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A line per benchmark: our figures by method, then the published ones; differences below.

    Args:
        rows: Which.
        measured: By method what `read_results` gives.
    """
    head = ["benchmark", *measured, *(f"{source} (published)" for source in SOURCES)]
    lines = [head]
    for row in rows:
        ours = [figure(row, results) for results in measured.values()]
        published = [row.published.get(source) for source in SOURCES]
        mark = " *" if row.differs else ""
        lines.append(
            [row.label + mark, *("" if v is None else f"{v:.1f}" for v in ours + published)]
        )
    width = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shown = [
        "  ".join(
            cell.ljust(width[i]) if i == 0 else cell.rjust(width[i]) for i, cell in enumerate(line)
        ).rstrip()
        for line in lines
    ]
    notes = [f"* {row.label}: {row.differs}" for row in rows if row.differs]
    return "\n".join([*shown, "", *notes])
