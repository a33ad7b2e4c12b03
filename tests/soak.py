"""Prints how a page's memory grows: ``make soak``, or ``python -m tests.soak --calls 1000``.

Calls come from many browser sessions, one after the other: questions on the page and through the
endpoint, and refused ones. Exits with 1 if memory grows by more than allowed after the first calls.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import gradio as gr
import httpx
from PIL import Image

from tests.tiny import tiny_session
from vif.ui import build_demo, launch_options

ALLOWED_MB, WARM_UP = 50, 100


def serve(assets: str) -> None:
    """Serves a page with a tiny model until its input ends, and prints where it is."""
    demo = build_demo(tiny_session(), assets=assets)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    run = next(fn for fn in demo.fns.values() if fn.name == "run")
    values = [None if isinstance(c, gr.State) else c.value for c in run.inputs]
    image = next(i for i, c in enumerate(run.inputs) if isinstance(c, gr.Image))
    question = next(
        i for i, c in enumerate(run.inputs) if getattr(c, "elem_id", None) == "question"
    )
    page = {"url": url, "fn": run._id, "values": values, "image": image, "question": question}
    sys.stdout.write(json.dumps(page, default=str) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    demo.close()


class Visitors:
    """Many browser sessions on one page."""

    def __init__(self, page: dict, folder: Path, sessions: int) -> None:
        self.page, self.sessions = page, sessions
        self.api = f"{page['url'].rstrip('/')}/gradio_api"
        self.client = httpx.Client(timeout=120)
        path = folder / "picture.png"
        Image.new("RGB", (40, 30), (200, 40, 40)).save(path)
        with path.open("rb") as file:
            sent = self.client.post(f"{self.api}/upload", files={"files": file})
        self.picture = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, number: int) -> None:
        """One call: of every five three on the page, one to the endpoint, one that is refused."""
        session = f"session{number % self.sessions}"
        kind = number // self.sessions % 5
        if kind < 3:
            self.run(session, self.picture)
        elif kind == 3:
            self.run(session, {"path": "/nowhere.png"})
        else:
            data = [self.picture, "what is this ?", "", ["plain"], 1, 2, 3, 5, 1, 0.5, 2, 0, {}, []]
            asked = self.client.post(f"{self.api}/call/ask", json={"data": data}).json()
            self.client.get(f"{self.api}/call/ask/{asked['event_id']}")

    def run(self, session: str, picture: dict) -> None:
        """A click on Run."""
        values = list(self.page["values"])
        values[self.page["image"]] = picture
        values[self.page["question"]] = "what is this ?"
        body = {"data": values, "fn_index": self.page["fn"], "session_hash": session}
        self.client.post(f"{self.api}/queue/join", json=body).raise_for_status()
        self.client.get(f"{self.api}/queue/data", params={"session_hash": session})


def megabytes(process: int) -> float:
    """Resident memory of a process."""
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(process)])) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--serve", metavar="ASSETS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.soak", "--serve", folder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            page = next(json.loads(line) for line in server.stdout if line.startswith("{"))
            visitors, warm = Visitors(page, Path(folder), args.sessions), 0.0
            for number in range(args.calls + 1):
                if number % max(1, args.calls // 20) == 0 or number == WARM_UP:
                    found = megabytes(server.pid)
                    warm = found if number <= WARM_UP else warm
                    sys.stdout.write(f"{number:>6} calls {found:>8.1f} MB {found - warm:>+8.1f}\n")
                    sys.stdout.flush()
                if number < args.calls:
                    visitors.call(number)
            server.stdin.close()
            server.wait(60)
    return int(found - warm > ALLOWED_MB)


if __name__ == "__main__":
    sys.exit(main())
