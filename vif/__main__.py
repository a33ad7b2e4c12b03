"""The command line: ``vif --help`` lists its commands; ``python -m vif`` is the same."""

from __future__ import annotations

import argparse
import sys

from vif import __version__
from vif.interrupts import ends_on_ctrl_c

with ends_on_ctrl_c():
    from vif.commands import COMMANDS
    from vif.commands.flags.parser import Parser
    from vif.errors import exit_status


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(prog="vif", description="VIF Lens on the command line.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs a command and returns its exit status; see `vif.errors.exit_status`."""
    arguments = sys.argv[1:] if argv is None else argv

    def run() -> int | None:
        # Underscores are what the published project's users type.
        args = build_parser().parse_args([_with_hyphens(argument) for argument in arguments])
        return args.run(args)

    return exit_status(run)


def _with_hyphens(argument: str) -> str:
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value if flag.startswith("--") else argument


if __name__ == "__main__":
    sys.exit(main())
