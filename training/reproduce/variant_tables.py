"""Tables of seeds, controls and ablations, from the files of `training.reproduce --all`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.reproduce.variants import ABLATIONS, CONTROLS, MATCHED, Variant
from vif.bench import ALL, BASELINE, HARD, BenchItem, by_group, items
from vif.bench.tables import percent, span

ORACLE = "oracle"
ABLATED = "Ablations at half of the steps, on validation; nothing was chosen on test:"


def variant_sections(results: Path) -> dict[str, str]:
    """Text of the sections by name, empty where nothing has been run.

    Args:
        results: Folder that holds ``variants/<path>.json`` of those that have been run.
    """
    ablations = variant_table(results, ABLATIONS)
    return {
        "controls": variant_table(results, CONTROLS),
        "matched": variant_table(results, MATCHED),
        "ablations": f"{ABLATED}\n\n{ablations}" if ablations else "",
    }


def variant_table(results: Path, variants: tuple[Variant, ...]) -> str:
    """Accuracy of variants as a Markdown table, each against the plain bundled model.

    All answer the same questions, so differences are paired, whatever model gave the answers.

    Args:
        results: As in `variant_sections`.
        variants: The first is what the others are compared with. One that has not been run has no
            row.

    Raises:
        ValueError: If two of them were measured on different questions.
    """
    runs = {
        variant: json.loads(path.read_text())[0]
        for variant in variants
        if (path := results / "variants" / f"{variant.path}.json").is_file()
    }
    if not runs:
        return ""
    (asked, *others) = {(run["split"], run["n"], run["seed"], run["text"]) for run in runs.values()}
    if others:
        raise ValueError(f"Variants on questions {asked} and {others}: expected the same for all.")
    questions = items(*asked)
    first = next(iter(runs))
    base = next((r["methods"][BASELINE] for v, r in runs.items() if not v.tunes_model), None)
    reference = _answers(first, runs[first]) if first is variants[0] else None
    names = [f"less {BASELINE}", f"less {variants[0].name}", f"{HARD}: less {BASELINE}"]
    lines = [
        f"{asked[1]} questions of the {asked[0]} split; accuracy in %, differences in points, "
        f"paired, with 95 % intervals. {ORACLE}: the true place, injected as that variant does.",
        "",
        f"| variant | | {ALL} | {' | '.join(names)} | pointing | {ORACLE} |",
        "|---" * 8 + "|",
    ]
    if base is not None:
        lines.append(_row(BASELINE, "the bundled model", base, None, reference, questions, None))
    for variant, run in runs.items():
        found = _answers(variant, run)
        compared = None if found is reference else reference
        upper = run["methods"].get(ORACLE)
        lines.append(_row(variant.name, variant.text, found, base, compared, questions, upper))
    return "\n".join(lines)


def _answers(variant: Variant, run: dict[str, Any]) -> dict[str, Any]:
    """What the variant itself answered: a tuned model answers without injection."""
    return run["methods"][BASELINE if variant.tunes_model else "vif"]


def _row(
    name: str,
    text: str,
    found: dict[str, Any],
    base: dict[str, Any] | None,
    reference: dict[str, Any] | None,
    questions: Sequence[BenchItem],
    oracle: dict[str, Any] | None,
) -> str:
    accuracy = f"{percent(found['accuracy'][ALL])} {span(found['interval'][ALL])}"
    pointing = "" if found["pointing"] is None else percent(found["pointing"])
    gains = [
        _difference(found, base, questions, ALL),
        _difference(found, reference, questions, ALL),
        _difference(found, base, questions, HARD),
    ]
    upper = "" if oracle is None else percent(oracle["accuracy"][ALL])
    return f"| {name} | {text} | {accuracy} | {' | '.join(gains)} | {pointing} | {upper} |"


def _difference(
    found: dict[str, Any], other: dict[str, Any] | None, questions: Sequence[BenchItem], group: str
) -> str:
    """Mean paired difference in points with its interval; empty if there is no other."""
    if other is None:
        return ""
    ours, theirs = (np.array([float(c) for c in some["right"]]) for some in (found, other))
    means, spans = by_group(ours - theirs, questions)
    return f"{100 * means[group]:+.1f} {span(spans[group], '+')}"
