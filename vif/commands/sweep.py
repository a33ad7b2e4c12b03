"""Every injection range: where does injecting help?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vif.commands.common import (
    add_model_flags,
    add_question_flags,
    add_setting_flags,
    check_output,
    chosen_settings,
    load_session,
    progress_of,
    question_of,
    write_json,
)
from vif.commands.tables import grid, span
from vif.probes.sweep import Sweep, sweep


def add(commands: Any) -> None:
    """Flags of ``sweep``."""
    parser = commands.add_parser("sweep", help="every range of injection layers for one question")
    add_question_flags(parser)
    parser.add_argument(
        "--answer", help="answer to watch; the scene's true one, else the model's own"
    )
    parser.add_argument("--method", help="whose map; vif, or vif-free without an adapter")
    parser.add_argument("--json", type=Path, help="file that gets the numbers")
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
    print(table(found))
    write_json(args.json, {"question": question.text, **found.as_json()})


def table(found: Sweep) -> str:
    """The grid with the words that belong to it."""
    layers = range(len(found.change))
    best = found.change[found.best]
    return "\n".join(
        [
            f"answer watched: {found.answer!r}, log-probability {found.plain:.3f} if left alone",
            f"change by injecting the map of {found.method!r} from layer (down) to layer (across):",
            grid(layers, layers, found.change, "+.3f", "from"),
            f"best: layers {span(*found.best)}, {best:+.3f}",
            f"The map is read from layers {span(*found.learning)} of a plain pass; ranges that "
            f"begin at layer {found.learning[1]} or before would need that pass outside a sweep.",
        ]
    )
