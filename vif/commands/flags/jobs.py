"""What commands that ask a whole data set share: flags, several processes, resuming."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from vif import bundled, measure
from vif.commands.flags.common import Flags, chosen_settings, load_session, progress_of
from vif.commands.flags.data import list_skipped
from vif.data import DataSet, Example
from vif.errors import InputError
from vif.measure import Job, Measure, Processes, RunRecords
from vif.session import Session
from vif.settings import Settings


def add_job_flags(parser: Flags, out: str | None) -> None:
    """Where results go, and how the questions are asked."""
    parser.add_argument("--out", type=Path, default=out and Path(out), help="folder for results")
    parser.add_argument("--restart", action="store_true", help="start over instead of resuming")
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        default=Settings.max_new_tokens,
        help="longest answer in tokens",
    )
    parser.add_argument("--batch-size", type=int, default=8, help="questions asked at once")


@dataclass(frozen=True)
class JobPlan:
    """What a command asks of every example: by which methods, in which words, to record what.

    Attributes:
        methods: Names of the methods.
        record: What is recorded of the answers to an example.
        prompt_of: Gives the question that is asked about an example.
    """

    methods: Sequence[str]
    record: Measure
    prompt_of: Callable[[Example], str] = attrgetter("prompt")


@dataclass(frozen=True)
class Recorded:
    """What was recorded of a whole data set.

    Attributes:
        session: Model and adapter.
        origin: Of `vif.measure.provenance`.
        records: One per question, those that could not be asked among them.
        skipped: Questions that could not be read or asked, ``{"where", "why"}`` each.
    """

    session: Session
    origin: dict[str, Any]
    records: list[dict[str, Any]]
    skipped: list[dict[str, str]]


def ask_data(
    args: argparse.Namespace,
    data: DataSet,
    plan: Callable[[Session], JobPlan],
    what: dict[str, Any] | None = None,
) -> Recorded | None:
    """Asks the questions of `data` and records something of each.

    Args:
        args: Of `add_job_flags`, `add_model_flags`, `add_setting_flags`, and ``text``.
        data: The questions.
        plan: What is done, chosen once it is known what the session can do.
        what: What else tells this run from another in the same folder.

    Returns:
        What was recorded, by all processes; None in all processes but the first.

    Raises:
        InputError: If anything given cannot be used, or no question could be asked.
    """
    if args.batch_size < 1 or min(args.text) < 0:
        raise InputError("--batch-size has to be at least 1 and --text at least 0.")
    processes = Processes.find()
    args.device = args.device or processes.device
    session = load_session(args)
    planned = plan(session)
    job = _job(args, session, data, planned)
    model = args.model_path or f"bundled {bundled.MODEL}"
    adapter = args.adapter or (f"bundled {bundled.ADAPTER}" if session.adapter else None)
    origin = measure.provenance(job, model, adapter, args.seed) | (what or {})
    records = RunRecords(args.out, origin, processes, args.restart)
    shown = progress_of("questions") if processes.is_main else None
    measure.ask_all(job, planned.record, records, shown)
    processes.wait()
    if not processes.is_main:
        return None
    found = list(records.read())
    unasked = [{"where": r["name"], "why": r["skipped"]} for r in found if "skipped" in r]
    list_skipped(unasked)
    if len(unasked) == len(found):
        raise InputError(f"No question could be asked; {unasked[0]['why']}")
    return Recorded(session, origin, found, [*map(vars, data.skipped), *unasked])


def _job(args: argparse.Namespace, session: Session, data: DataSet, plan: JobPlan) -> Job:
    settings = chosen_settings(args, session.defaults)
    session.check(plan.methods, settings)
    texts = tuple(args.text)
    return Job(session, data, plan.methods, settings, texts, args.batch_size, plan.prompt_of)


def print_files(paths: Sequence[Path]) -> None:
    """Prints the paths of the files that were written."""
    print()
    for path in paths:
        print(f"wrote {path}")
