"""Accuracy, attention and cost on generated scenes, method by method."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vif import bench, methods
from vif.commands import bench_data
from vif.commands.flags.common import (
    add_methods_flag,
    add_model_flags,
    add_setting_flags,
    check_output,
    chosen_settings,
    load_session,
    progress_of,
    write_json,
)
from vif.commands.flags.parser import add_command
from vif.errors import InputError
from vif.measure import Processes
from vif.scenes import GROUP_OF, SPLITS
from vif.session import Session
from vif.settings import Settings

ALL = "all"
SCENE_METHODS = ["plain", "vif", "uniform", "random", "oracle"]
OWN = ["plain"]


def add(commands: Any) -> None:
    """Flags of ``bench``."""
    parser = add_command(commands, "bench", "measure accuracy and attention on generated scenes")
    parser.add_argument("--split", choices=SPLITS, default="test", help="split of the scenes")
    parser.add_argument("--n", type=int, default=2000, help="number of questions")
    parser.add_argument("--text", type=int, nargs="+", default=[0], help="tokens of unrelated text")
    parser.add_argument(
        "--families",
        nargs="+",
        choices=tuple(GROUP_OF),
        default=[],
        metavar="FAMILY",
        help="only questions of these families, such as odd or nearest",
    )
    parser.add_argument("--json", type=Path, help="JSON file for the results")
    parser.add_argument(
        "--controls",
        nargs="*",
        metavar="METHOD",
        help="also run a uniform and a random map with the same attention on the image as "
        "these methods; without names, for all methods",
    )
    bench_data.add_flags(parser)
    add_methods_flag(parser, None)
    add_model_flags(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the benchmark and prints its tables after each text length."""
    args.methods = args.methods or (OWN if args.data else SCENE_METHODS)
    processes = Processes.find()
    _check(args, processes)
    if args.data:
        bench_data.run(args, _asked(args))
        return
    args.device = args.device or processes.device
    session = load_session(args)
    settings = chosen_settings(args, session.defaults)
    session.check(_asked(args), settings)
    runs = []
    for text in args.text:
        runs.append(_run(args, session, settings, text, processes))
        if processes.is_main:
            print(bench.table(runs[-1]), flush=True)
            write_json(args.json, runs)


def _check(args: argparse.Namespace, processes: Processes) -> None:
    if args.n < 1 or min(args.text) < 0:
        raise InputError(f"--n is {args.n} and --text {args.text}: expected at least 1 and 0.")
    for name in args.methods:
        if name != ALL:
            methods.find(name)
    for name in args.controls or ():
        if name not in _asked(args):
            raise InputError(f"--controls names {name!r}, which is not in --methods: add it there.")
    if processes.is_main:
        check_output(args.json)


def _asked(args: argparse.Namespace) -> list[str]:
    """Names of the methods, the baseline first."""
    known = methods.names() if ALL in args.methods else []
    named = [name for name in args.methods if name != ALL]
    return list(dict.fromkeys([bench.BASELINE, *known, *named]))


def _run(
    args: argparse.Namespace,
    session: Session,
    settings: Settings,
    text: int,
    processes: Processes,
) -> dict[str, Any]:
    """One entry of the JSON file."""
    questions = bench.items(args.split, args.n, args.seed, text, args.families)
    names, skipped = _asked(args), {}
    if ALL in args.methods:
        names, skipped = bench.supported(session, questions, names, settings)
    shown = progress_of("questions") if processes.is_main else None
    found = bench.run(session, questions, names, settings, shown, processes)
    head = {"text": text, "n": args.n, "seed": args.seed, "split": args.split}
    if args.families:
        head["families"] = args.families
    result = head | {"methods": found, "skipped": skipped}
    if args.controls is not None:
        chosen = [name for name in args.controls or names if name in found]
        result["controls"] = bench.run_controls(
            session, questions, found, chosen, settings, shown, processes
        )
    return result
