"""Serves the page, from any folder; ``app.py`` does so on a Space and in a checkout."""

from __future__ import annotations

import argparse
import math
import os
from typing import Any

from vif.commands.flags.parser import add_command
from vif.extras import need
from vif.inputs.schema import REQUEST_SECONDS


def add(commands: Any) -> None:
    """Flags of ``serve``."""
    parser = add_command(commands, "serve", "serve the page on this machine")
    add_flags(parser)
    parser.set_defaults(run=run)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Which models, for whom, and where.

    What is not given comes from the environment: ``HOST``, ``PORT``, ``VIF_MODEL``, ``VIF_ADAPTER``
    and ``VIF_MODELS``, so that a copied Space shows another model with its code unchanged.
    """
    # A Space is reached through a proxy; anywhere else the page is for this machine only.
    default_host = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    parser.add_argument(
        "--model-path",
        default=os.environ.get("VIF_MODEL") or None,
        help="folder or Hub name of a vision-language model (default: the bundled one)",
    )
    parser.add_argument(
        "--adapter",
        default=os.environ.get("VIF_ADAPTER") or None,
        help="folder or Hub name of a VIF adapter for that model (default: the bundled model's "
        "own, with that model)",
    )
    parser.add_argument(
        "--models",
        type=read_models,
        default=os.environ.get("VIF_MODELS", ""),
        help="models that every visitor may load, separated by commas; with an adapter: "
        "model=adapter",
    )
    parser.add_argument(
        "--host", default=os.environ.get("HOST", default_host), help="address to listen on"
    )
    parser.add_argument(
        "--port", type=_port, default=os.environ.get("PORT", "7860"), help="port to listen on"
    )
    parser.add_argument(
        "--model-box",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let visitors load other models and open folders of this machine (default: yes on "
        "a loopback address, except on a Space)",
    )
    parser.add_argument(
        "--api-only",
        action="store_true",
        help="serve only the endpoints for programs, without the page; see docs/programs.md",
    )
    parser.add_argument(
        "--request-seconds",
        type=_seconds,
        default=REQUEST_SECONDS,
        help="model time for one request (default: %(default)g)",
    )


def run(args: argparse.Namespace) -> None:
    """Serves the page until it is interrupted.

    Raises:
        InputError: If Gradio is not installed, the model cannot be loaded or the page cannot be
            served there.
    """
    # Gradio reads it when it is imported; nothing leaves this machine.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    need("vif.ui.serve", "app").serve(args)


def read_models(text: str) -> list[tuple[str, str]]:
    """Returns what ``model, model=adapter`` names, as pairs; no adapter is empty."""
    pairs = (entry.partition("=") for entry in text.split(","))
    return [(name.strip(), adapter.strip()) for name, _, adapter in pairs if name.strip()]


def _port(value: str) -> int:
    """A number from the command line or the environment as a port."""
    if not value.isdecimal() or not 1 <= int(value) <= 65535:
        raise argparse.ArgumentTypeError(f"{value[:20]!r} is not a port: use 1 to 65535")
    return int(value)


def _seconds(value: str) -> float:
    """A number from the command line as a time."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{value[:20]!r} is not a time: use seconds, more than 0")
    return seconds
