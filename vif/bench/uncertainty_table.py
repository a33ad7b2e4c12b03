"""What `vif.bench.uncertainty.measure` returns as plain text."""

from __future__ import annotations

from typing import Any

from vif.bench.tables import columns, percent, span
from vif.bench.uncertainty import NAMED, SIDES


def uncertainty_table(found: dict[str, Any]) -> str:
    """The results of `vif.bench.uncertainty.measure` as text, in tables with headings."""
    parts = [
        f"{found['n']} questions with a true box, {found['split']} split; "
        f"{found['samples']} samples of the latent; in %, [95 % interval]",
        _pointing_table(found["pointing"], "peak in the true box"),
        f"KL of posterior and prior: {found['kl']:.3f} nats per dimension\n"
        f"answers right: {percent(found['accuracy'])}; changed by a sample: "
        f"{percent(found['changed'])}",
        _auroc_table(found["auroc"], "predicts a wrong answer, AUROC"),
    ]
    ambiguous = found["ambiguous"]
    if ambiguous is not None:
        parts += [
            f"{ambiguous['n']} questions that two places answer; answered by one of them: "
            f"{percent(ambiguous['accuracy'])}",
            f"the prior's map has {NAMED:.0%} or more at one of them at least: "
            f"{percent(ambiguous['one_place'])}, at both: {percent(ambiguous['both_places'])}",
            _pointing_table(ambiguous["pointing"], "peak at the place of a given answer"),
            _auroc_table(ambiguous["auroc"], "tells them from questions with one place, AUROC"),
        ]
    return "\n\n".join(parts)


def _pointing_table(found: dict[str, Any], title: str) -> str:
    rows = [[title, "", "less prior"]]
    for name in SIDES:
        side = found[name]
        row = [f"  {name}", percent(side["share"])]
        if "difference" in side:
            row.append(f"{100 * side['difference']:+.1f} {span(side['difference_interval'], '+')}")
        rows.append(row)
    return columns(rows)


def _auroc_table(found: dict[str, float | None], title: str) -> str:
    rows = [
        [f"  {name}", "-" if value is None else f"{value:.2f}"] for name, value in found.items()
    ]
    return columns([[title, ""], *rows])
