"""ZeroGPU Spaces: the model answers in another process, which has a GPU for the length of a call.

`spaces` is there on such Spaces alone. It has to be imported before PyTorch, which it patches, and
forks this process when a decorated function is called: what goes in and out is pickled, so events,
callbacks and exceptions do not come through by themselves.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

try:
    import spaces
except ImportError:
    spaces = None

import torch

from vif.errors import InputError
from vif.model.generation import Cancelled

# How soon a process sees that it is to stop.
_SECONDS_BETWEEN_LOOKS = 0.1
_METHODS = ("ask", "ask_batch")


def is_gpu_space() -> bool:
    """Whether this is a Space that has a GPU, or gets one for every call."""
    return bool(os.environ.get("SPACE_ID")) and torch.cuda.is_available()


class FileFlag:
    """A `threading.Event` that two processes can share: it is set if a file exists."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self) -> None:
        """Sets it for good."""
        self.path.touch()

    def is_set(self) -> bool:
        """Whether it was set, by either process."""
        return self.path.exists()


def on_gpu(session: Any, seconds: float) -> Any:
    """Lets a session ask its model where the GPU is; without `spaces` it stays as it is.

    Args:
        session: The loaded model.
        seconds: How long one call may take; visitors pay for it with their quota.

    Returns:
        The session.
    """
    for name in _METHODS if spaces is not None else ():
        setattr(session, name, gpu(getattr(session, name), seconds))
    return session


def gpu(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """A function that runs on the GPU of a Space, can be cancelled, and raises what it raised.

    Without `spaces` it is the function itself.
    """
    if spaces is None:
        return function

    def task(*args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
        # `spaces` turns all exceptions into one of its own.
        try:
            return function(*args, **kwargs), None
        except (InputError, Cancelled) as error:
            return None, error

    decorated = spaces.GPU(duration=round(seconds))(task)
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        with _shared(given.arguments.get("cancel")) as flag:
            if flag is not None:
                given.arguments["cancel"] = flag
            found, error = decorated(*given.args, **given.kwargs)
        if error is not None:
            raise error
        return found

    return call


@contextmanager
def _shared(cancel: threading.Event | None) -> Iterator[FileFlag | None]:
    """Hands an event on to another process for as long as the block lasts."""
    if cancel is None:
        yield None
        return
    with TemporaryDirectory(prefix="vif-cancel-") as folder:
        flag, is_done = FileFlag(Path(folder) / "cancel"), threading.Event()

        def watch() -> None:
            while not is_done.is_set():
                if cancel.wait(_SECONDS_BETWEEN_LOOKS):
                    flag.set()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield flag
        finally:
            is_done.set()
            watcher.join()
