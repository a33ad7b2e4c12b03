"""Compares the published form of VIF with this project's."""

from __future__ import annotations

import argparse
from typing import Any

from vif.bench import compare_published
from vif.commands.flags.parser import add_command


def add(commands: Any) -> None:
    """``compare-published`` has no flags."""
    parser = add_command(
        commands,
        "compare-published",
        "compare the published form of the map with this one, and their cost",
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> None:
    """Prints what both forms do and cost."""
    print(compare_published.table(*compare_published.compare()))
