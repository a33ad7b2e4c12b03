"""Waiting times under load: ``make load``, or ``python -m tests.soak.load --users 16``.

Every user asks the bundled model one question after the other, as a program, by plain and VIF. The
same questions are asked by one user first. Exits with 1 if an answer is missing, or another one.
``--model qwen3_vl`` asks the tiny random model of another family.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.soak.__main__ import served
from vif.scenes import ask_scene, draw_scene

# Of what an answer tells, all but this is the same whenever it is asked.
TIMES = ("seconds",)


class User:
    """A client with its own address.

    Args:
        url: The page.
        number: Which one.
    """

    def __init__(self, url: str, number: int) -> None:
        self.api = f"{url.rstrip('/')}/gradio_api"
        self.client = httpx.Client(timeout=600, headers={"X-Forwarded-For": f"10.0.0.{number}"})

    def ask(self, scene: int, path: Path) -> tuple[float, Any]:
        """Seconds until the answer to a scene's first question, and the answer."""
        started = time.perf_counter()
        with path.open("rb") as file:
            (sent,) = self.client.post(f"{self.api}/upload", files={"files": file}).json()
        question = ask_scene(draw_scene(scene), scene)[0].text
        asked = {"image": {"path": sent}, "question": question, "methods": ["plain", "vif"]}
        answer = self.client.post(f"{self.api}/call/v2/ask", json=asked)
        told = self.client.get(f"{self.api}/call/ask/{answer.json()['event_id']}").text
        seconds = time.perf_counter() - started
        kind, _, data = told.rpartition("event: ")[2].partition("\n")
        found = json.loads(data.removeprefix("data: ")) if kind == "complete" else None
        return seconds, untimed(found)


def untimed(found: Any) -> Any:
    """An answer without its timings."""
    if isinstance(found, dict):
        return {name: untimed(value) for name, value in found.items() if name not in TIMES}
    return [untimed(value) for value in found] if isinstance(found, list) else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--model", default="bundled", help="or a family: its tiny random model")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(folder, "32", args.model) as (page, _):
        scenes = range(args.questions)
        paths = [Path(folder) / f"{scene}.png" for scene in scenes]
        for scene, path in zip(scenes, paths, strict=True):
            draw_scene(scene).image.save(path)

        def ask_all(number: int) -> list[tuple[float, Any]]:
            user = User(page["url"], number)
            return [user.ask(scene, path) for scene, path in zip(scenes, paths, strict=True)]

        # A user of its own: what was asked before makes a user wait longer for the next turn.
        ask_all(args.users)  # the first answers of a process take longer
        alone = ask_all(args.users)
        started = time.perf_counter()
        with ThreadPoolExecutor(args.users) as pool:
            users = list(pool.map(ask_all, range(args.users)))
        wall = time.perf_counter() - started
    waits = [seconds for user in users for seconds, _ in user]
    same = sum(
        found is not None and found == expected
        for user in users
        for (_, found), (_, expected) in zip(user, alone, strict=True)
    )
    one, many = (statistics.median(found) for found in ([s for s, _ in alone], waits))
    sys.stdout.write(
        f"one user:   p50 {one:.2f} s, {1 / statistics.fmean(s for s, _ in alone):.2f} answers/s\n"
        f"{args.users} users:   p50 {many:.2f} s ({many / one:.1f} times), longest "
        f"{max(waits):.2f} s, {len(waits) / wall:.2f} answers/s\n"
        f"{same} of {len(waits)} answers are those that one user gets\n"
    )
    return int(same < len(waits))


if __name__ == "__main__":
    sys.exit(main())
