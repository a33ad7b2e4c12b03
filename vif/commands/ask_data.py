"""A whole file of questions answered, with a trace of each: what ``ask --data`` does."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from typing import Any

from vif.commands.flags.data import add_data_flags, read_data
from vif.commands.flags.jobs import JobPlan, add_job_flags, ask_data, print_files
from vif.errors import InputError
from vif.measure import LoadedExample
from vif.trace import Trace

_FULL = (
    "{} cannot be written ({}): free some disk space and run the same command again; the "
    "answered questions are kept."
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that apply with ``--data``, except the length of answers."""
    group = parser.add_argument_group("all questions of a file")
    add_data_flags(group, default=None, takes_query=False)
    add_job_flags(group, "answers")
    group.add_argument(
        "--n", type=int, default=500, help="number of questions; a random sample if there are more"
    )
    group.add_argument("--text", type=int, nargs="+", default=[0], help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    """Writes a trace per question and method, and a table of all answers."""
    if args.image_file is not None or args.scene is not None or args.box or args.save:
        raise InputError(
            "--data provides images, questions and boxes, and --out names the folder for "
            "traces: remove --image-file, --scene, --box and --save."
        )

    def keep(asked: LoadedExample, traces: Mapping[str, Trace]) -> dict[str, Any]:
        found = {}
        for method, trace in traces.items():
            folder = args.out / method.replace("/", "-")
            path = folder / f"{asked.key[1]:06d}.npz"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                trace.save(path)
            except OSError as error:
                raise InputError(_FULL.format(path, error.strerror)) from error
            found[method] = {"answer": trace.answer, "trace": str(path.relative_to(args.out))}
        return {"question": asked.example.question, "answers": found}

    asked = ask_data(args, read_data(args, args.n), lambda _: JobPlan(args.methods, keep))
    if asked is None:
        return
    rows = [
        {"name": r["name"], "image": r["source"], "question": r["found"]["question"]}
        | {"method": method}
        | one
        for r in sorted(asked.records, key=lambda r: r["key"])
        if "found" in r
        for method, one in r["found"]["answers"].items()
    ]
    path = args.out / "answers.csv"
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    except OSError as error:
        raise InputError(_FULL.format(path, error.strerror)) from error
    print_files([path])
    print(f"wrote {len(rows)} traces under {args.out}")
