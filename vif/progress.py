"""Callbacks by which long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

# Called with the steps that are done and the steps in all; bytes, for a download.
Progress = Callable[[int, int], None]
