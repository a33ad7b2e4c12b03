"""Seeds, controls and ablations as tables: what `training.reproduce --all` left, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.variants import ABLATIONS, CONTROLS, Variant

HARD = "fine-grained + grounding"
NOTHING = "_Not run yet: `make reproduce-all` writes this table._"


def variant_sections(results: Path) -> dict[str, str]:
    """Text of the README's sections ``controls`` and ``ablations``.

    Args:
        results: Folder that holds ``variants/<name>.json`` of those that have been run.
    """
    return {
        "controls": variant_table(results, CONTROLS),
        "ablations": variant_table(results, ABLATIONS),
    }


def variant_table(results: Path, variants: tuple[Variant, ...]) -> str:
    """Accuracy of variants as a Markdown table, each against the plain bundled model.

    A variant that has not been run has no row; the last column says what it points at.
    """
    base: dict[str, Any] | None = None
    rows = []
    for variant in variants:
        path = results / "variants" / f"{variant.name}.json"
        if not path.is_file():
            continue
        (run,) = json.loads(path.read_text())
        if not variant.tunes_model:
            base = run["methods"]["plain"]
        rows.append((variant, run))
    if not rows:
        return NOTHING
    number = rows[0][1]["n"]
    lines = [
        f"{number} questions of the {rows[0][0].split} split.",
        "",
        "| variant | | all | difference to plain | fine-grained + grounding | pointing |",
        "|---|---|---|---|---|---|",
    ]
    if base is not None:
        lines.append(f"| plain | the bundled model | {_accuracy(base, 'all')} | | "
                     f"{_accuracy(base, HARD)} | |")  # fmt: skip
    for variant, run in rows:
        if variant.tunes_model:
            found = run["methods"]["plain"]
            gain = ""
            if base is not None:
                gain = f"{100 * (found['accuracy']['all'] - base['accuracy']['all']):+.1f}"
        else:
            found = run["methods"]["vif"]
            low, high = found["difference_interval"]["all"]
            gain = f"{100 * found['difference']['all']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        pointing = found["pointing"]
        shown = "" if pointing is None else f"{100 * pointing:.1f}"
        lines.append(
            f"| {variant.name} | {variant.text} | {_accuracy(found, 'all')} | {gain} | "
            f"{_accuracy(found, HARD)} | {shown} |"
        )
    return "\n".join(lines)


def _accuracy(found: dict[str, Any], group: str) -> str:
    low, high = found["interval"][group]
    return f"{100 * found['accuracy'][group]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
