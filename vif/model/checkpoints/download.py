"""Downloads a model from the Hub and reports progress."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from huggingface_hub import snapshot_download
from tqdm.auto import tqdm

from vif.progress import Progress


def download(name: str, files: Sequence[str], size: int, progress: Progress | None = None) -> None:
    """Downloads files of a repository into the Hub's cache.

    Args:
        name: On the Hub.
        files: Which of its files.
        size: Bytes of these files that still have to be downloaded.
        progress: Is told how far it is; by default bars at the terminal tell it.
    """
    bars = None if progress is None else bars_for(progress, size)
    snapshot_download(name, allow_patterns=list(files), tqdm_class=bars)


def bars_for(progress: Progress, size: int) -> type[tqdm]:
    """A class of progress bars that draw nothing and tell the bytes that have come."""
    most = 0

    class Bars(tqdm):
        # One bar counts files, one what the network brings and one what is written.
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal most
            drawn = super().update(n)
            if self.unit == "B" and self.n > most:
                most = int(self.n)
                progress(min(most, size), size)
            return drawn

    return Bars
