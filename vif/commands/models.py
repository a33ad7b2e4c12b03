"""Lists models to start with."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from vif.commands.flags.parser import add_command
from vif.model.checkpoints.catalogue import CATALOGUE, ListedModel

# Where a model may run: a machine with so many gigabytes of memory, and GPUs of two sizes.
_PLACES = (("CPU 16 GB", 16, True), ("GPU 8 GB", 8, False), ("GPU 24 GB", 24, False))

_NOTE = """
GPU in half precision, CPU in full. 'gated': accept its terms on the Hub, then 'hf login'.
'not': methods and probes that do not work with it. To try any other model, 'vif check NAME'
verifies it, or gives the reason against it."""


def add(commands: Any) -> None:
    """Flags of ``models``."""
    parser = add_command(
        commands, "models", "list models to start with, and the hardware they need"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints the list, the smallest model first."""
    if args.json:
        print(json.dumps([asdict(model) | _facts(model) for model in CATALOGUE]))
        return
    heads = ("model", "family", "billion", "download", *(place for place, *_ in _PLACES))
    rows: list[tuple[str, ...]] = [(*heads, "licence", "not")]
    for model in CATALOGUE:
        facts = _facts(model)
        runs = ("yes" if facts["runs"][place] else "-" for place, *_ in _PLACES)
        licence = f"{model.licence}, gated" if model.gated else model.licence
        size = (f"{model.billions:.1f}", f"{model.download:.1f} GB")
        rows.append((model.name, model.family, *size, *runs, licence, ", ".join(model.lacks)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    print(_NOTE)


def _facts(model: ListedModel) -> dict[str, Any]:
    runs = {place: model.fits(size, on_cpu) for place, size, on_cpu in _PLACES}
    return {"download_gigabytes": model.download, "runs": runs, "lacks": list(model.lacks)}
