"""ZeroGPU Spaces: the model runs in another process, which has a GPU for the length of a call.

`spaces` exists only on such Spaces. It has to be imported before PyTorch, which it patches. It
forks this process when a decorated function is called, and pickles arguments and results, so that
events, callbacks and exceptions need the replacements below. A process may serve many calls, so
each session has a decorated function of its own, which holds the loaded model.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

try:
    import spaces  # pyright: ignore[reportMissingImports]
except ImportError:
    spaces = None

import torch

from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.progress import Progress
from vif.session import Session, load
from vif.ui.guard.turns import REQUEST, QueuedRequest

# How often each process polls the other.
_SECONDS_BETWEEN_LOOKS = 0.1
_DECORATED = "on_gpu"
_CANCEL, _PROGRESS = "cancel", "progress"
T = TypeVar("T")


def is_gpu_space() -> bool:
    """Whether this is a Space that has a GPU, or gets one for every call."""
    return bool(os.environ.get("SPACE_ID")) and torch.cuda.is_available()


def load_here(
    name_or_folder: str | Path | None,
    adapter: str | Path | None = None,
    progress: Progress | None = None,
) -> Session:
    """Loads a model where the page can try it, arguments as in `vif.load`.

    With `spaces` that is the CPU: this process has no GPU that a pass could run on.

    Raises:
        InputError: If it cannot be loaded.
    """
    if spaces is None:
        return load(name_or_folder, adapter=adapter, progress=progress)
    return load(name_or_folder, adapter=adapter, device="cpu", dtype="auto", progress=progress)


def on_gpu(session: Any, seconds: float) -> Any:
    """Lets `run_model` run a session on the GPU; without `spaces` it runs in this process.

    Args:
        session: The loaded model.
        seconds: How long one call may take; visitors pay for it with their quota.

    Returns:
        The session.
    """
    if spaces is None or hasattr(session, _DECORATED):
        return session

    def work(
        function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, Exception | None]:
        # The process may have served another request before.
        REQUEST.set(QueuedRequest())
        move_to_gpu(session)
        # `spaces` turns all exceptions into one of its own.
        try:
            return function(session, *args, **kwargs), None
        except (InputError, Cancelled) as error:
            return None, error

    setattr(session, _DECORATED, spaces.GPU(duration=round(seconds))(work))
    return session


def move_to_gpu(session: Any) -> None:
    """Puts model and adapter on the GPU of a ZeroGPU Space, if they are not there."""
    model = getattr(getattr(session, "backbone", None), "model", None)
    if spaces is None or model is None or not torch.cuda.is_available():
        return
    if model.device.type != "cuda":
        model.to("cuda")
        if session.adapter is not None:
            session.adapter.to("cuda")


def run_model(
    session: Any,
    function: Callable[..., T],
    *args: Any,
    cancel: threading.Event | None = None,
    progress: Callable[[int, int], None] | None = None,
    **kwargs: Any,
) -> T:
    """Calls ``function(session, *args, **kwargs)`` where the session's model may run.

    Everything on the page that runs a model is called by this.

    Args:
        session: As `on_gpu` returned it.
        function: Of a module; what it takes and returns can be pickled.
        *args: Taken by the function after the session.
        cancel: Stops it; handed on by this name if it is given.
        progress: Called with (steps done, steps in all); passed on likewise.
        **kwargs: Taken by the function too.

    Raises:
        InputError: If the function raised it.
        Cancelled: If the function raised it.
    """
    decorated = getattr(session, _DECORATED, None)
    if decorated is None:
        given = {_CANCEL: cancel, _PROGRESS: progress}
        kwargs |= {name: value for name, value in given.items() if value is not None}
        return function(session, *args, **kwargs)
    with _shared(cancel, progress) as given:
        found, error = decorated(function, args, kwargs | given)
    if error is not None:
        raise error
    return found


class FileFlag:
    """A `threading.Event` that two processes can share: it is set if a file exists."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self) -> None:
        """Sets the value; it cannot be unset."""
        self.path.touch()

    def is_set(self) -> bool:
        """Whether the page or the worker process has set it."""
        return self.path.exists()


class FileNews:
    """Progress that one process writes and another reads: the last two numbers, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, done: int, total: int) -> None:
        """Reports progress (done, in all)."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{done} {total}", encoding="ascii")
        new.replace(self.path)

    def read(self) -> tuple[int, int] | None:
        """The last report; None if there was none."""
        if not self.path.exists():
            return None
        done, total = self.path.read_text(encoding="ascii").split()
        return int(done), int(total)


@contextmanager
def _shared(
    cancel: threading.Event | None, progress: Callable[[int, int], None] | None
) -> Iterator[dict[str, Any]]:
    """Replacements of the given objects that work across processes while the block runs."""
    if cancel is None and progress is None:
        yield {}
        return
    with TemporaryDirectory(prefix="vif-call-") as folder:
        flag, news = FileFlag(Path(folder) / _CANCEL), FileNews(Path(folder) / _PROGRESS)
        is_done, told = threading.Event(), None

        def look() -> None:
            nonlocal told
            if cancel is not None and cancel.is_set():
                flag.set()
            now = news.read()
            if progress is not None and now is not None and now != told:
                told = now
                progress(*now)

        def watch() -> None:
            while not is_done.wait(_SECONDS_BETWEEN_LOOKS):
                look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            given = {_CANCEL: (cancel, flag), _PROGRESS: (progress, news)}
            yield {name: there for name, (here, there) in given.items() if here is not None}
        finally:
            is_done.set()
            watcher.join()
            look()
