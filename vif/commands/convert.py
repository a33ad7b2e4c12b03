"""Turns a checkpoint of the published project into an adapter."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vif.adapter import convert
from vif.commands.flags.parser import add_command


def add(commands: Any) -> None:
    """Flags of ``convert-checkpoint``."""
    parser = add_command(
        commands, "convert-checkpoint", "turn a checkpoint of the published project into an adapter"
    )
    parser.add_argument("folder", type=Path, help="the published checkpoint")
    parser.add_argument("out", type=Path, help="output folder for the adapter")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Converts the checkpoint and prints the adapter's configuration."""
    config = convert.convert_checkpoint(args.folder, args.out).config
    print(
        f"Adapter in {args.out}: width {config.width}, {config.num_components} components, read "
        f"from layers {config.learning[0]} to {config.learning[1]}, injected into "
        f"{config.injection[0]} to {config.injection[1]}, every {config.stride}. The language "
        "model that was tuned with it is not converted."
    )
