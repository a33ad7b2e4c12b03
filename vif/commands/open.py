"""Shows a zip that the page saved, without a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vif import bundle
from vif.commands.flags.parser import add_command
from vif.extras import need
from vif.metrics import image_share


def add(commands: Any) -> None:
    """Flags of ``open``."""
    parser = add_command(commands, "open", "show saved answers, without a model")
    parser.add_argument("zip", type=Path, help="a zip that the page saved")
    parser.add_argument("--page", action="store_true", help="in the browser")
    parser.add_argument("--port", type=int, help="port of the page; default: a free one")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints question, answers and attention on the image; or serves the page."""
    saved = bundle.read(args.zip)
    if args.page:
        need("vif.ui.replay", "app").serve(args.zip, port=args.port)
        return
    print(f"{saved.question}  ({saved.model})")
    if saved.answer is not None:
        print(f"{'right':<10} {saved.answer}")
    for name, trace in saved.traces.items():
        shares = " ".join(f"{share:.2f}" for share in image_share(trace))
        print(f"{name:<10} {trace.answer}")
        print(f"{'':<10} share on the image by layer: {shares}")
    for key, value in saved.provenance.items():
        print(f"{key:<10} {value}")
