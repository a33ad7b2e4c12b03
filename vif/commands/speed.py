"""What everything costs, as ratios."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vif import methods
from vif.bench import speed
from vif.bench.shapes import SHAPES, session_of_shape
from vif.commands.flags.common import (
    add_methods_flag,
    add_model_flags,
    check_output,
    load_session,
    progress_of,
    write_json,
)
from vif.commands.flags.parser import add_command
from vif.commands.flags.question import add_question_flags, question_of
from vif.errors import InputError


def add(commands: Any) -> None:
    """Flags of ``speed``."""
    parser = add_command(commands, "speed", "measure the cost of recording, steering and sweeping")
    add_question_flags(parser)
    add_methods_flag(parser, None)
    parser.add_argument("--repetitions", type=int, default=9, help="turns of all cases")
    parser.add_argument("--tokens", type=int, default=8, help="generated tokens per answer")
    parser.add_argument("--json", type=Path, help="JSON file for the results")
    parser.add_argument(
        "--cases", nargs="+", choices=speed.CASES, default=speed.CASES, help="what is timed"
    )
    parser.add_argument(
        "--shape", choices=SHAPES, help="a random model in this shape, with a random adapter"
    )
    parser.add_argument("--image-tokens", type=int, help="image tokens, for a LLaVA shape")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints medians and ranges; the default question is about scene 0."""
    if args.repetitions < 1 or args.tokens < 1:
        raise InputError(
            f"--repetitions is {args.repetitions} and --tokens {args.tokens}: expected at least 1."
        )
    if args.image_tokens is not None and (args.shape is None or args.image_tokens < 4):
        raise InputError(
            f"--image-tokens is {args.image_tokens}: expected at least 4, and a --shape."
        )
    if args.scene is None and args.image_file is None and args.query is None:
        args.scene = 0
    question = question_of(args)
    for name in args.methods or ():
        methods.find(name)
    check_output(args.json)
    session = load_session(args)
    if args.shape is not None:
        session = session_of_shape(args.shape, session, args.image_tokens, args.seed)
    vif = "vif" if session.adapter is not None else "vif-free"
    found = speed.measure(
        session,
        question,
        args.methods or ["plain", vif, "uniform", "random"],
        args.repetitions,
        args.tokens,
        progress_of("repetitions"),
        args.cases,
    )
    print(speed.table(found))
    write_json(args.json, [one.as_json() for one in found])
