"""What the latent knows: prior against posterior, the spread of samples, and two right places."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from vif.bench import uncertainty
from vif.bench.uncertainty_table import uncertainty_table
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
from vif.errors import InputError
from vif.scenes import SPLITS


def add(commands: Any) -> None:
    """Flags of ``uncertainty``."""
    parser = add_command(
        commands, "uncertainty", "compare prior and posterior, and evaluate samples of the latent"
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="split of the scenes")
    parser.add_argument("--n", type=int, default=400, help="questions with one right place")
    parser.add_argument("--ambiguous", type=int, default=200, help="questions with two")
    parser.add_argument("--json", type=Path, help="JSON file for the results")
    add_model_flags(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measures and prints prior, posterior and samples; writes the JSON file if given."""
    samples = 16 if args.samples is None else args.samples
    if args.n < 1 or args.ambiguous < 0 or samples < 1:
        raise InputError(
            f"--n is {args.n}, --ambiguous {args.ambiguous} and --samples {samples}: expected at "
            "least 1, 0 and 1."
        )
    check_output(args.json)
    session = load_session(args)
    settings = replace(chosen_settings(args, session.defaults), samples=0)
    found = uncertainty.measure(
        session, args.split, args.n, args.ambiguous, samples, settings, progress_of("questions")
    )
    print(uncertainty_table(found))
    write_json(args.json, found)
