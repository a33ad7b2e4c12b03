"""Ctrl-C while a program is still being imported. Imports nothing of the project itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPED = "Stopped."
EXIT_STATUS = 130


@contextmanager
def ends_on_ctrl_c() -> Iterator[None]:
    """Within it Ctrl-C ends the program at once, with one line and exit status 130.

    For imports, which take seconds: some of what runs meanwhile loses a `KeyboardInterrupt` or
    prints where it was raised. Does nothing outside the main thread: only that one gets signals.
    """
    before = None
    with suppress(ValueError):  # not the main thread
        before = signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _end(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, f"\n{STOPPED}\n".encode())
    os._exit(EXIT_STATUS)
