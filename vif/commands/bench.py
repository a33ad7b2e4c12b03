"""Accuracy and attention on generated scenes."""

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


def add(commands: Any) -> None:
    """Flags of ``bench``."""
    parser = commands.add_parser("bench", help="accuracy and attention on generated scenes")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--n", type=int, default=2000, help="number of questions")
    parser.add_argument("--text", type=int, nargs="+", default=[0], help="tokens of unrelated text")
    parser.add_argument("--json", type=Path, help="file that gets the numbers")
    add_methods_flag(parser, ["plain", "vif", "uniform", "random", "oracle"])
    add_model_flags(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs the benchmark, one table per text length."""
    if args.n < 1 or min(args.text) < 0:
        raise InputError(f"--n is {args.n} and --text {args.text}: expected at least 1 and 0.")
    for name in args.methods:
        methods.find(name)
    session = load_session(args)
    settings = chosen_settings(args, session.defaults)
    names = list(dict.fromkeys([bench.BASELINE, *args.methods]))
    runs = []
    for text in args.text:
        questions = bench.items(args.split, args.n, args.seed, text)
        found = bench.run(session, questions, names, settings, progress_of("questions"))
        head = {"text": text, "n": args.n, "seed": args.seed, "split": args.split}
        runs.append(head | {"methods": found})
        print(bench.table(runs[-1]), flush=True)
        if args.json is not None:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(runs, indent=1) + "\n")
