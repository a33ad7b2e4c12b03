"""The parser of every command line: a person's mistake is one sentence."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Leaves the list of all flags to ``--help``; its subcommands do, too."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit status 2 and one line on stderr."""
        self.exit(2, f"error: {' '.join(message.split())}; '{self.prog} --help' has more.\n")


def add_command(commands: Any, name: str, summary: str) -> argparse.ArgumentParser:
    """Adds a command whose own ``--help`` begins with the words that the list of commands has.

    Args:
        commands: What `argparse.ArgumentParser.add_subparsers` gave.
        name: Of the command.
        summary: What it does: a sentence, or one without its capital and full stop.
    """
    words = summary.replace("%", "%%")
    sentence = words[0].upper() + words[1:] + ("" if words.endswith((".", "?")) else ".")
    return commands.add_parser(name, help=words, description=sentence)
