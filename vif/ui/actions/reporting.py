"""Long work that reports its progress to the page while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

from vif.progress import Progress
from vif.ui.actions.problems import attempt

T = TypeVar("T")
_Reports = SimpleQueue[tuple[int, int] | None]


def with_reports(
    work: Callable[[Progress], T],
    show: Callable[[int, int], dict[Any, Any]],
    cancel: threading.Event,
) -> Generator[dict[Any, Any], None, tuple[T | None, str]]:
    """Runs `work` and yields an update of the page for what it reports, as soon as it reports.

    Not by `gr.Progress`, whose bar would cover the line that the message is in.

    Args:
        work: Takes the callback that it reports its progress to.
        show: Makes the update of (steps done, steps in all).
        cancel: Stops the work; set when the page is closed, since nobody needs the rest then.

    Returns:
        As `attempt`.
    """
    reports: _Reports = SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        # Turns at the model are counted for the request, which the context holds.
        future = pool.submit(copy_context().run, work, lambda *now: reports.put(now))
        future.add_done_callback(lambda _: reports.put(None))
        try:
            while (now := _latest(reports)) is not None:
                yield show(*now)
        finally:
            cancel.set()
    return attempt(future.result)


def _latest(reports: _Reports) -> tuple[int, int] | None:
    """Waits for a report and skips those that a newer one has overtaken; None at the end."""
    latest = reports.get()
    while not reports.empty():
        latest = reports.get()
    return latest
