"""Runs commands one after another; a command that has finished is not run again."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# glibc gives every large tensor back to the system and asks for it again: page faults took a third
# of all time. It keeps them instead.
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 33), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}


@dataclass(frozen=True)
class Stage:
    """One command of the chain, with its log and result.

    Attributes:
        name: Of the stage, its log and its stamp.
        command: What is run.
        is_report: Whether it only shows what the others found, so that it is run every time.
    """

    name: str
    command: tuple[str, ...]
    is_report: bool = False


def run(stages: list[Stage], work: Path) -> None:
    """Runs what has not finished yet.

    Raises:
        SystemExit: If a stage fails; its log is named.
    """
    timings = work / "timings.json"
    (work / "logs").mkdir(parents=True, exist_ok=True)
    done = json.loads(timings.read_text()) if timings.exists() else {}
    for number, stage in enumerate(stages, 1):
        head = f"[{number}/{len(stages)}] {stage.name}"
        if stage.name in done and not stage.is_report:
            print(f"{head}: done before in {done[stage.name]['seconds']} s", flush=True)
            continue
        log = work / "logs" / f"{stage.name.replace('/', '-')}.log"
        print(f"{head}: log in {log}", flush=True)
        started = time.monotonic()
        environment = os.environ | KEEP
        environment |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with log.open("a") as file:
            code = subprocess.run(
                stage.command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False
            ).returncode
        if code != 0:
            raise SystemExit(f"error: stage {stage.name} stopped with status {code}; see {log}")
        seconds = round(time.monotonic() - started)
        done[stage.name] = {"seconds": seconds, "command": list(stage.command[1:])}
        partial = timings.with_suffix(".partial")
        partial.write_text(json.dumps(done, indent=1) + "\n")
        partial.replace(timings)
