"""Models that visitors loaded besides the page's own. Independent of Gradio."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from vif import bundled
from vif.errors import InputError
from vif.model.checkpoints.loading import download_size, readable_size
from vif.session import Session, load

Key = tuple[str, str]

MOST_MODELS = 2


class Shelf:
    """The page's own session, and the few used most recently; none is changed after loading.

    A tab holds a key. One model is loaded at a time, and it replaces the one that was not used
    for longest only when it has arrived.

    Args:
        own: The page's own session.
        most: How many others are kept.
        load: Loads a model by its name and adapter.
        size: Bytes that a model's download takes.
        allowed: The only models, with their adapters, that may be loaded; None allows all.
    """

    def __init__(
        self,
        own: Session,
        most: int = MOST_MODELS,
        load: Callable[..., Session] = load,
        size: Callable[[str], int] = download_size,
        allowed: Sequence[Key] | None = None,
    ) -> None:
        self.own = own
        self._allowed = allowed
        self._most, self._load, self._size = most, load, size
        self._loaded: OrderedDict[Key, Session] = OrderedDict()
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(1, "model-loader")
        self._arriving: dict[Key, tuple[int, int]] = {}

    def get(self, key: Key | None) -> Session:
        """Returns the session of a key; None is the page's own.

        Raises:
            InputError: If it was unloaded because others have been loaded since.
        """
        if key is None:
            return self.own
        with self._lock:
            if key not in self._loaded:
                raise InputError(
                    f"{key[0]} was unloaded because other models were loaded since: load it again."
                )
            self._loaded.move_to_end(key)
            return self._loaded[key]

    def look_up(self, name: str) -> str:
        """Returns one sentence on what loading a model would download.

        Raises:
            InputError: If there is no such model, or it cannot be reached.
        """
        name = self._admitted(name, "")[0]
        if name == bundled.MODEL:
            return (
                f"{name} is the small model that is bundled with VIF Lens: nothing is downloaded."
            )
        if Path(name).is_dir():
            return f"{name} is a folder on this machine: nothing is downloaded."
        size = self._size(name)
        if not size:
            return f"{name} is already on this machine: nothing is downloaded."
        return f"Loading {name} downloads {readable_size(size)}."

    def begin(self, name: str, adapter: str) -> Future[Key]:
        """Starts loading a model, and gives what its key will be.

        Raises:
            InputError: If there is no name.
        """
        key = self._admitted(name, adapter)
        return self._loader.submit(self._put, key)

    def arrived(self, name: str, adapter: str) -> tuple[int, int] | None:
        """Bytes downloaded and in all of a model that is being loaded; None if unknown."""
        return self._arriving.get(self._admitted(name, adapter))

    def _admitted(self, name: str, adapter: str) -> Key:
        """The key of a model that may be loaded here, by default with its own adapter.

        Raises:
            InputError: If it may not, or there is no name.
        """
        if self._allowed is None:
            return _cleaned(name), (adapter or "").strip()
        name, adapter = (name or "").strip(), (adapter or "").strip()
        for key in self._allowed:
            if key[0] == name and adapter in ("", key[1]):
                return key
        listed = ", ".join(known for known, _ in self._allowed)
        raise InputError(f"{name[:80]!r} is not one of the models of this page: choose {listed}.")

    def _put(self, key: Key) -> Key:
        with self._lock:
            is_here = key in self._loaded
        if not is_here:
            name, adapter = key
            try:
                session = self._load(
                    None if name == bundled.MODEL else name,
                    adapter=adapter or None,
                    progress=lambda done, total: self._arriving.update({key: (done, total)}),
                )
            finally:
                self._arriving.pop(key, None)
            with self._lock:
                self._loaded[key] = session
                while len(self._loaded) > self._most:
                    self._loaded.popitem(last=False)
        return key


def _cleaned(name: str | None) -> str:
    """The name without blanks; a folder is checked here, since an empty one has no name."""
    name = (name or "").strip()
    if not name:
        raise InputError("No model is named: type a folder or a Hub name.")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    if not (folder / "config.json").is_file():
        raise InputError(f"The folder {name} holds no model: config.json is missing.")
    return str(folder)
