"""Every injection range: where does injecting help?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vif.commands.flags.common import (
    add_model_flags,
    add_setting_flags,
    check_output,
    chosen_settings,
    load_session,
    progress_of,
    write_json,
)
from vif.commands.flags.parser import add_command
from vif.commands.flags.question import add_question_flags, question_of
from vif.probes import PROBES
from vif.probes.protocol import ProbeCall
from vif.probes.sweep import sweep


def add(commands: Any) -> None:
    """Flags of ``sweep``."""
    parser = add_command(commands, "sweep", "try every range of injection layers for one question")
    add_question_flags(parser)
    parser.add_argument(
        "--answer",
        help="answer to track; default: the right one of the scene, else the model's own",
    )
    parser.add_argument(
        "--method",
        help="method whose map is injected; default: vif, or vif-free without an adapter",
    )
    parser.add_argument("--json", type=Path, help="JSON file for the results")
    add_model_flags(parser)
    add_setting_flags(parser, sets_injection=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints the grid of changes."""
    question = question_of(args)
    check_output(args.json)
    session = load_session(args)
    found = sweep(
        session,
        question,
        method=args.method or ("vif" if session.adapter is not None else "vif-free"),
        answer=args.answer or question.answer or None,
        settings=chosen_settings(args, session.defaults),
        progress=progress_of("ranges"),
    )
    print(f"question: {question.text}")
    print(PROBES["sweep"].table(found, ProbeCall(session, question)))
    write_json(args.json, {"question": question.text, **found.as_json()})
