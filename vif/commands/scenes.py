"""The command that writes generated scenes with their questions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vif.commands.flags.parser import add_command
from vif.errors import InputError
from vif.scenes import SPLITS
from vif.scenes.export import export_scenes


def add(commands: Any) -> None:
    """Flags of ``scenes``."""
    parser = add_command(commands, "scenes", "write scenes as PNG and LLaVA-format JSON")
    parser.add_argument("--split", choices=SPLITS, default="test", help="split of the scenes")
    parser.add_argument("--n", type=int, default=100, help="number of scenes")
    parser.add_argument("--text", type=int, default=0, help="tokens of unrelated text")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Writes the scenes' pictures and questions to a folder."""
    if args.n < 1 or args.text < 0 or args.seed < 0:
        raise InputError(
            f"--n is {args.n}, --text {args.text} and --seed {args.seed}: expected at least 1, 0 "
            "and 0."
        )
    path = export_scenes(args.out, args.split, args.n, args.seed, args.text)
    print(f"{args.n} scenes in {path}")
