"""How much, how sharply and how rightly every layer looks, over many images and questions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vif import measure
from vif.commands.common import (
    DEMO_ADAPTER,
    add_methods_flag,
    add_model_flags,
    add_setting_flags,
    chosen_settings,
    load_session,
)
from vif.commands.data import add_data_flags, list_skipped, read_data, show_progress
from vif.commands.tables import grid
from vif.data import Data
from vif.errors import InputError
from vif.measure import Job, Processes, Records, Result
from vif.measure.curves import FIRST
from vif.measure.summary import ATTENUATION, EVERY
from vif.session import Session, check_options
from vif.settings import Settings

_PRINTED = ("share", "share_without_sinks", "entropy", "dominance", "in_box", "pointing")


def add(commands: Any) -> None:
    """Flags of ``attenuation``."""
    parser = commands.add_parser(
        "attenuation", help="attention by layer over many images and questions, with intervals"
    )
    add_data_flags(parser)
    parser.add_argument("--n", type=int, default=500, help="number of questions, drawn if more")
    parser.add_argument(
        "--text", type=int, nargs="+", default=[0], help="tokens of unrelated text before each"
    )
    parser.add_argument("--out", type=Path, default=Path("attenuation"), help="folder for results")
    parser.add_argument(
        "--restart", action="store_true", help="measure anew instead of taking up what is there"
    )
    parser.add_argument(
        "--compare", type=Path, nargs="+", metavar="JSON", help="draw these results instead"
    )
    parser.add_argument("--max-new-tokens", type=int, default=Settings.max_new_tokens)
    parser.add_argument("--batch-size", type=int, default=8, help="questions asked at once")
    add_methods_flag(parser, None)
    add_model_flags(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measures, or compares what was measured."""
    if args.compare:
        _print_files(measure.compare(args.compare, args.out))
        return
    if args.batch_size < 1 or min(args.text) < 0:
        raise InputError("--batch-size has to be at least 1 and --text at least 0.")
    processes = Processes.find()
    args.device = args.device or processes.device
    data = read_data(args, args.n)
    session = load_session(args)
    job = _job(args, session, data)
    adapter = args.adapter or (DEMO_ADAPTER if session.adapter else None)
    origin = measure.provenance(job, args.model_path, adapter, args.seed)
    records = Records(args.out, origin, processes, args.restart)
    measure.ask_all(job, measure.measure, records, show_progress if processes.is_main else None)
    processes.wait()
    if processes.is_main:
        _finish(args.out, session, data, origin, list(records.read()))


def _job(args: argparse.Namespace, session: Session, data: Data) -> Job:
    methods = args.methods or (["plain", "vif"] if session.adapter else ["plain"])
    settings = chosen_settings(args, session.defaults)
    settings = replace(settings, max_new_tokens=args.max_new_tokens)
    settings.check(session.num_layers)
    check_options(methods, settings)
    return Job(session, data, methods, settings, tuple(args.text), args.batch_size)


def _finish(
    out: Path, session: Session, data: Data, origin: dict[str, Any], found: Sequence[dict[str, Any]]
) -> None:
    """Writes and prints the results."""
    unasked = [{"where": r["name"], "why": r["skipped"]} for r in found if "skipped" in r]
    list_skipped(unasked)
    entries = measure.summarise(found)
    if not entries:
        raise InputError(f"None of the questions could be asked; {unasked[0]['why']}")
    skipped = [*map(vars, data.skipped), *unasked]
    result = Result(origin, session.num_layers, entries, skipped)
    paths = measure.write(result, out)
    print(table(result))
    _print_files(paths)


def table(result: Result) -> str:
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


def _print_files(paths: Sequence[Path]) -> None:
    print()
    for path in paths:
        print(f"wrote {path}")
