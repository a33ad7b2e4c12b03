"""The measurements of every question, written to disk at once, so a run can resume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vif.errors import InputError
from vif.measure.processes import Processes

HEADER, LINES = "run.json", "records-{}.jsonl"


class RunRecords:
    """The records of one run in a folder: a header, and lines by every process.

    A record is ``{"key": [...], ...}``; its key says which question it is of.
    """

    def __init__(
        self,
        folder: Path,
        header: Mapping[str, Any],
        processes: Processes | None = None,
        restart: bool = False,
    ) -> None:
        """Opens a folder, new or of the same run.

        Args:
            folder: Made if it is not there.
            header: What the run is; a folder with another one is refused.
            processes: Which of several this one is.
            restart: Removes the records that are there.

        Raises:
            InputError: If the folder cannot be written or holds another run.
        """
        self.folder, self.processes = folder, processes or Processes()
        self.path = folder / LINES.format(self.processes.index)
        with _explained(folder, 0):
            folder.mkdir(parents=True, exist_ok=True)
            if self.processes.is_main:
                for old in self.folder.glob(LINES.format("*")) if restart else ():
                    old.unlink()
                self._check(json.loads(json.dumps(header)), restart)
        self.processes.wait()
        with _explained(folder, 0):
            _drop_torn_line(self.path)
        self.processes.wait()
        self.done = {tuple(record["key"]) for record in self.read()}
        # No process writes before all have read the existing records.
        self.processes.wait()

    def _check(self, header: dict[str, Any], restart: bool) -> None:
        path = self.folder / HEADER
        if restart or not path.exists():
            path.write_text(json.dumps(header, indent=1) + "\n")
            return
        before = json.loads(path.read_text())
        if other := [key for key in header if before.get(key) != header[key]]:
            raise InputError(
                f"{self.folder} contains another run, with other {', '.join(other)}: give "
                "another --out, or --restart to start over."
            )

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Appends records, all or none.

        Raises:
            InputError: If that is impossible, for example because no space is left.
        """
        lines = "".join(json.dumps(record) + "\n" for record in records)
        with _explained(self.folder, len(self.done)), self.path.open("a") as file:
            file.write(lines)
        self.done |= {tuple(record["key"]) for record in records}

    def read(self) -> Iterator[dict[str, Any]]:
        """All records of all processes; of two with one key the first."""
        seen = set()
        for path in sorted(self.folder.glob(LINES.format("*"))):
            for line in path.read_text().splitlines(keepends=True):
                if not line.endswith("\n"):
                    continue
                record = json.loads(line)
                if (key := tuple(record["key"])) not in seen:
                    seen.add(key)
                    yield record


@contextmanager
def _explained(folder: Path, kept: int) -> Iterator[None]:
    """Turns what the file system refuses into a sentence that says what is kept."""
    try:
        yield
    except OSError as error:
        stays = f"; {kept} questions are done and kept there" if kept else ""
        raise InputError(
            f"{folder} cannot be written ({error.strerror}){stays}: make room or give another "
            "--out, and run the same command again."
        ) from error


def _drop_torn_line(path: Path) -> None:
    """Cuts off a line that a process could not finish."""
    if path.is_file() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        path.write_bytes(data[: data.rfind(b"\n") + 1])
