"""Accuracy on your own questions: what ``bench --data`` does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vif.bench import own
from vif.bench.scoring import AUTO, SCORES
from vif.commands.flags.common import check_output, write_json
from vif.commands.flags.data import add_data_flags, list_skipped, read_data
from vif.commands.flags.jobs import JobPlan, add_job_flags, ask_data, print_files
from vif.errors import InputError
from vif.session import Session


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that apply only with ``--data``."""
    group = parser.add_argument_group("own questions")
    add_data_flags(group, default=None)
    add_job_flags(group, "bench")
    group.add_argument(
        "--score", choices=SCORES, default=AUTO,
        help="how answers are scored: by equality, as in VQAv2, by the letter of a choice, or "
             "by overlap of boxes; auto chooses by the fields of a question",
    )  # fmt: skip
    group.add_argument(
        "--boxes-from", choices=(own.ANSWER, own.MAP), default=own.ANSWER,
        help="boxes that the model writes, or the smallest box that holds 60 %% of where it points",
    )  # fmt: skip


def run(args: argparse.Namespace, methods: Sequence[str]) -> None:
    """Asks the questions, prints a table of accuracies and writes the JSON file."""
    if args.controls is not None:
        raise InputError("--controls needs generated scenes: remove --data or --controls.")
    check_output(args.json)
    found = read_data(args, args.n)
    data = own.scorable(found, args.score)
    list_skipped([vars(entry) for entry in data.skipped[len(found.skipped) :]])

    def plan(session: Session) -> JobPlan:
        scorer = own.Scorer(session, args.score, args.boxes_from)
        return JobPlan(methods, scorer, scorer.prompt_of)

    what = {"score": args.score, "boxes_from": args.boxes_from}
    asked = ask_data(args, data, plan, what)
    if asked is None:
        return
    runs = []
    for text in args.text:
        some = [record for record in asked.records if record["key"][0] == text]
        summed = own.summarise(some)
        runs.append({"text": text, "methods": summed})
        print(f"{text} tokens of text before\n{own.table(summed)}\n")
    path = args.out / "bench.json"
    result = {"provenance": asked.origin, "runs": runs, "skipped": asked.skipped}
    write_json(path, result)
    write_json(args.json, result)
    print_files([path, *([args.json] if args.json else [])])
