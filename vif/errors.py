"""The error that users see, errors in words, and how a program ends with one."""

from __future__ import annotations

import sys
from collections.abc import Callable

from vif.interrupts import EXIT_STATUS, STOPPED


class InputError(ValueError):
    """Input from a user that cannot be used.

    The message is one sentence, fit to be shown as it is: what was given, what was expected, and
    what to do about it.
    """


def in_words(error: InputError | OSError) -> str:
    """One line for the user: the sentence of an `InputError`, or the file of an `OSError`."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return (
            f"{str(error.filename)!r} cannot be used ({error.strerror}): check that it exists "
            "and can be read and written, or name another."
        )
    return " ".join(str(error).split())


def exit_status(run: Callable[[], int | None], failed: str = "error:") -> int:
    """Runs a program; a person's mistake is one line on stderr instead of a stack trace.

    Args:
        run: The program. It returns its exit status; None is 0.
        failed: What the line begins with.

    Returns:
        The program's exit status, 2 after a mistake, or 130 after Ctrl-C.
    """
    try:
        return run() or 0
    except (InputError, OSError) as error:
        sys.stderr.write(f"{failed} {in_words(error)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{STOPPED}\n")
        return EXIT_STATUS
