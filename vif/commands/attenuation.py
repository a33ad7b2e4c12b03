"""How much, how sharply and how well on target each layer looks, over many questions."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vif import measure
from vif.commands.flags.common import add_methods_flag, add_model_flags, add_setting_flags
from vif.commands.flags.data import add_data_flags, read_data
from vif.commands.flags.jobs import JobPlan, add_job_flags, ask_data, print_files
from vif.commands.flags.parser import add_command
from vif.draw.tables import grid
from vif.measure import MeasuredCurves
from vif.measure.curves import FIRST
from vif.measure.summary import ATTENUATION, EVERY
from vif.session import Session

_PRINTED = ("share", "share_without_sinks", "entropy", "dominance", "in_box", "pointing")


def add(commands: Any) -> None:
    """Flags of ``attenuation``."""
    parser = add_command(
        commands, "attenuation", "measure attention by layer over many images and questions"
    )
    add_data_flags(parser)
    parser.add_argument(
        "--n", type=int, default=500, help="number of questions; a random sample if there are more"
    )
    parser.add_argument(
        "--text", type=int, nargs="+", default=[0], help="tokens of unrelated text before each"
    )
    add_job_flags(parser, "attenuation")
    parser.add_argument(
        "--compare", type=Path, nargs="+", metavar="JSON", help="draw these results instead"
    )
    add_methods_flag(parser, None)
    add_model_flags(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measures, or compares what was measured."""
    if args.compare:
        print_files(measure.compare(args.compare, args.out))
        return
    asked = ask_data(args, read_data(args, args.n), partial(_plan, args))
    if asked is not None:
        entries = measure.summarise(asked.records)
        result = MeasuredCurves(asked.origin, asked.session.num_layers, entries, asked.skipped)
        paths = measure.write(result, args.out)
        print(table(result))
        print_files(paths)


def _plan(args: argparse.Namespace, session: Session) -> JobPlan:
    methods = args.methods or (["plain", "vif"] if session.adapter else ["plain"])
    return JobPlan(methods, measure.measure)


def table(result: MeasuredCurves) -> str:
    """Curves of the first token by layer, and how much deep layers lose, with intervals."""
    parts = []
    chosen = [e for e in result.entries if e["tokens"] == FIRST and e["text_tokens"] == EVERY]
    for text in dict.fromkeys(entry["text"] for entry in chosen):
        for name in _PRINTED:
            some = [e for e in chosen if e["text"] == text and e["metric"] == name]
            if some:
                values = np.array([entry["mean"] for entry in some], float)
                names = [entry["method"] for entry in some]
                shown = grid(names, range(values.shape[1]), values, ".3f", "layer")
                parts.append(f"{name}, {text} tokens of text before\n{shown}")
        for entry in chosen:
            if entry["text"] == text and entry["metric"] == ATTENUATION:
                parts.append(_lost(entry))
    return "\n\n".join(parts)


def _lost(entry: dict[str, Any]) -> str:
    low, high = entry["low"][0], entry["high"][0]
    span = "" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return (
        f"{entry['method']}: the last quarter of the layers looks {100 * entry['mean'][0]:.1f} %"
        f"{span} less at the image than the layer that looks most ({entry['n']} questions)"
    )
