"""Opened results of ``vif attenuation``: read once, and kept within a memory limit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from vif.errors import InputError
from vif.measure import MeasuredCurves

MOST_FILES = 8
# Bytes of the files that one tab opens, and of all that are kept; in memory they take about five
# times as much.
MOST_BYTES = 64_000_000


@dataclass(eq=False)
class OpenedResults:
    """The results that one tab shows; they are freed with its session.

    Attributes:
        files: Where they were uploaded.
        results: What is in them; None if they have to be read again.
    """

    files: tuple[str, ...]
    results: list[MeasuredCurves] | None


class ResultFiles:
    """Reads result files, for one tab at a time, and limits what all tabs together keep.

    Attributes:
        most: Bytes of the files whose contents are kept.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self._lock = threading.Lock()
        # Bytes by tab, the one that was used last at the end.
        self._kept: WeakKeyDictionary[OpenedResults, int] = WeakKeyDictionary()

    def open(self, files: Sequence[str], before: OpenedResults | None = None) -> OpenedResults:
        """Returns the results in a tab's files; reads them only if the files have changed.

        Raises:
            InputError: If one of them is no result, or there is too much to read.
        """
        with self._lock:
            if before is None or before.results is None or before.files != tuple(files):
                size = _size(files)
                results = [MeasuredCurves.load(path, Path(path).name) for path in files]
                before = OpenedResults(tuple(files), results)
            else:
                size = self._kept.pop(before, 0)
            self._kept[before] = size
            self._bound(before)
            return before

    def _bound(self, latest: OpenedResults) -> None:
        """Drops the results of the least recently used tabs, which will read their files again."""
        for opened in list(self._kept):
            if opened is not latest and sum(self._kept.values()) > self.most:
                opened.results = None
                del self._kept[opened]


def _size(files: Sequence[str]) -> int:
    """The size of all files together in bytes.

    Raises:
        InputError: If there are too many files or bytes.
    """
    if len(files) > MOST_FILES:
        raise InputError(f"{len(files)} files are open, expected {MOST_FILES} at most: close some.")
    size = sum(Path(path).stat().st_size for path in files)
    if size > MOST_BYTES:
        raise InputError(
            f"The open files have {size / 1e6:.0f} MB together, expected {MOST_BYTES // 10**6} MB "
            "at most: close some."
        )
    return size
