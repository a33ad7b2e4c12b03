"""Prints the growth of a page's memory: ``make soak``, or ``python -m tests.soak --calls 1000``.

Calls come from many browser sessions, one after the other: questions on the page and through the
endpoint, and refused ones. Exits with 1 if memory grows by more than allowed after the first calls.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from PIL import Image

ALLOWED_MB, WARM_UP = 50, 100
_MB_PER_MARK = 10


class Visitors:
    """Many browser sessions on one page.

    Args:
        page: What `tests.soak.server` prints.
        folder: Gets the picture that they send.
        sessions: How many there are.
        tokens: Length of the answers.
    """

    def __init__(self, page: dict, folder: Path, sessions: int, tokens: int) -> None:
        self.page, self.sessions, self.tokens = page, sessions, tokens
        self.api = f"{page['url'].rstrip('/')}/gradio_api"
        self.client = httpx.Client(timeout=120)
        path = folder / "picture.png"
        Image.new("RGB", (400, 300), (200, 40, 40)).save(path)
        with path.open("rb") as file:
            sent = self.client.post(f"{self.api}/upload", files={"files": file})
        self.picture = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, number: int) -> None:
        """One call; a session makes three on the page, one that is refused, one by the endpoint."""
        session = f"session{number % self.sessions}"
        kind = number // self.sessions % 5
        if kind < 3:
            self.run(session, self.picture, "process_completed")
        elif kind == 3:
            self.run(session, {"path": "/nowhere.png"}, "not a file that was uploaded")
        else:
            self.ask()

    def run(self, session: str, picture: dict, expected: str) -> None:
        """A click on Run."""
        values = list(self.page["values"])
        values[self.page["image"]] = picture
        body = {"data": values, "fn_index": self.page["fn"], "session_hash": session}
        self.client.post(f"{self.api}/queue/join", json=body).raise_for_status()
        told = self.client.get(f"{self.api}/queue/data", params={"session_hash": session}).text
        if expected not in told or ('"success":false' in told) != (picture != self.picture):
            raise RuntimeError(f"Run gave {told[-300:]}, expected {expected}")

    def ask(self) -> None:
        """A call of the endpoint, which has no session."""
        data = [self.picture, "what is this ?", "", ["plain"], 1, 2, 3, 5, 1, 0.5, self.tokens, 0,
                {}, []]  # fmt: skip
        event = self.client.post(f"{self.api}/call/ask", json={"data": data}).json()["event_id"]
        told = self.client.get(f"{self.api}/call/ask/{event}").text
        if "event: complete" not in told:
            raise RuntimeError(f"/ask gave {told[-300:]}")


@contextmanager
def served(folder: str, *arguments: str) -> Iterator[tuple[dict, int]]:
    """Starts a page in its own process; returns how to click Run, and the process."""
    command = [sys.executable, "-m", "tests.soak.server", folder, *arguments]
    uploads = os.environ | {"GRADIO_TEMP_DIR": f"{folder}/uploads"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=uploads
    ) as server:
        yield next(json.loads(line) for line in server.stdout if line.startswith("{")), server.pid
        server.stdin.close()
        server.wait(60)


def megabytes(process: int) -> float:
    """Resident memory of a process."""
    return psutil.Process(process).memory_info().rss / 2**20


def soak(process: int, visitors: Visitors, calls: int) -> float:
    """Calls a page, prints the curve, and returns the growth after the first calls in MB."""
    warm = found = megabytes(process)
    sys.stdout.write(f"{'calls':>6} {'MB':>8} {'growth':>8}   each # is {_MB_PER_MARK} MB\n")
    for number in range(calls + 1):
        if number % max(1, calls // 20) == 0 or number == WARM_UP:
            found = megabytes(process)
            warm = found if number <= WARM_UP else warm
            marks = "#" * round(found / _MB_PER_MARK)
            sys.stdout.write(f"{number:>6} {found:>8.1f} {found - warm:>+8.1f}   {marks}\n")
            sys.stdout.flush()
        if number < calls:
            visitors.call(number)
    return found - warm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=8, help="length of the answers")
    args = parser.parse_args()
    if args.calls <= WARM_UP:
        parser.error(
            f"--calls is {args.calls}, expected more than {WARM_UP}: growth counts after them"
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        served(folder, str(args.tokens)) as (page, process),
    ):
        visitors = Visitors(page, Path(folder), args.sessions, args.tokens)
        growth = soak(process, visitors, args.calls)
    sys.stdout.write(f"Growth after {WARM_UP} calls: {growth:+.1f} MB, allowed {ALLOWED_MB}.\n")
    return int(growth > ALLOWED_MB)


if __name__ == "__main__":
    sys.exit(main())
