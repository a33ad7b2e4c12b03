"""The parser of every command line: a person's mistake is one sentence."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Leaves the list of all flags to ``--help``; its subcommands do, too."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit status 2 and one line on stderr."""
        self.exit(2, f"error: {' '.join(message.split())}; '{self.prog} --help' has more.\n")
