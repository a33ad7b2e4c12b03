"""Verifies recording, steering and token layout on a model."""

from __future__ import annotations

import argparse
from typing import Any

from vif import check as checks
from vif.check.proof import proof_table, prove
from vif.commands.flags.parser import add_command
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.model.checkpoints.loading import QUANTIZATIONS


def add(commands: Any) -> None:
    """Flags of ``check``."""
    parser = add_command(
        commands, "check", "verify recording, steering and token layout on a model"
    )
    parser.add_argument("model", nargs="?", help="folder or Hub name; a family with --tiny")
    parser.add_argument("--tiny", action="store_true", help="a tiny random model of the family")
    parser.add_argument("--all", action="store_true", help="every family, with --tiny")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16")
    parser.add_argument("--quantization", choices=QUANTIZATIONS, help="needs bitsandbytes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the error of every check; 1 if one is over its limit."""
    if args.all == (args.model is not None) or (args.all and not args.tiny):
        raise InputError("Name one model, or a family with --tiny, or give --all with --tiny.")
    if not args.tiny:
        backbone = Backbone.load(
            args.model,
            allow_unlisted=True,
            device=args.device,
            dtype=args.dtype,
            quantization=args.quantization,
        )
        steps = prove(backbone)
        print(proof_table(steps), "\n")
        if not all(step.holds for step in steps):
            return 1
        found = {args.model: list(checks.check_model(backbone))}
    else:
        device = args.device or "cpu"
        families = checks.TINY if args.all else [args.model]
        found = {family: list(checks.check_tiny(family, device)) for family in families}
    print(checks.grid_table(found) if args.all else checks.model_table(found[args.model]))
    return int(not all(outcome.passed for outcomes in found.values() for outcome in outcomes))
