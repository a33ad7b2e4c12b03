"""Compares the published form of VIF with this project's."""

from __future__ import annotations

import argparse
from typing import Any

from vif.bench import compare_forms as forms


def add(commands: Any) -> None:
    """``compare-forms`` has no flags."""
    parser = commands.add_parser(
        "compare-forms", help="compare the published form of the map with this one, and their cost"
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> None:
    """Prints what both forms do and cost."""
    print(forms.table(*forms.compare()))
