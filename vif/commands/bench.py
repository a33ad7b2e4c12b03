"""Accuracy, attention and cost on generated scenes, method by method."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vif import bench, methods
from vif.commands.common import (
    add_methods_flag,
    add_model_flags,
    add_setting_flags,
    chosen_settings,
    load_session,
    progress_of,
)
from vif.errors import InputError
from vif.scenes import SPLITS
from vif.session import Session
from vif.settings import Settings

ALL = "all"


def add(commands: Any) -> None:
    """Flags of ``bench``."""
    parser = commands.add_parser("bench", help="accuracy and attention on generated scenes")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--n", type=int, default=2000, help="number of questions")
    parser.add_argument("--text", type=int, nargs="+", default=[0], help="tokens of unrelated text")
    parser.add_argument("--json", type=Path, help="file that gets the numbers")
    parser.add_argument(
        "--controls",
        nargs="*",
        metavar="METHOD",
        help="also a uniform and a random map at the visual mass of these methods; without names, "
        "of all that are run",
    )
    add_methods_flag(parser, ["plain", "vif", "uniform", "random", "oracle"])
    add_model_flags(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the benchmark, its tables after each text length."""
    _check(args)
    session = load_session(args)
    settings = chosen_settings(args, session.defaults)
    for name, changed in settings.options.items():
        methods.find(name).resolve(changed)
    runs = []
    for text in args.text:
        runs.append(_run(args, session, settings, text))
        print(bench.table(runs[-1]), flush=True)
        if args.json is not None:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(runs, indent=1) + "\n")


def _check(args: argparse.Namespace) -> None:
    if args.n < 1 or min(args.text) < 0:
        raise InputError(f"--n is {args.n} and --text {args.text}: expected at least 1 and 0.")
    for name in args.methods:
        if name != ALL:
            methods.find(name)
    for name in args.controls or ():
        if name not in args.methods and ALL not in args.methods:
            raise InputError(f"--controls names {name!r}, which --methods does not: name it there.")


def _run(
    args: argparse.Namespace, session: Session, settings: Settings, text: int
) -> dict[str, Any]:
    """One entry of the JSON file."""
    questions = bench.items(args.split, args.n, args.seed, text)
    settings.check(session.num_layers)
    names, skipped = list(dict.fromkeys([bench.BASELINE, *args.methods])), {}
    if ALL in names:
        names = list(dict.fromkeys([bench.BASELINE, *methods.names()]))
        names, skipped = bench.supported(session, questions, names, settings)
    found = bench.run(session, questions, names, settings, progress_of("questions"))
    head = {"text": text, "n": args.n, "seed": args.seed, "split": args.split}
    result = head | {"methods": found, "skipped": skipped}
    if args.controls is not None:
        chosen = [name for name in args.controls or names if name in found]
        result["controls"] = bench.run_controls(
            session, questions, found, chosen, settings, progress_of("questions by controls")
        )
    return result
