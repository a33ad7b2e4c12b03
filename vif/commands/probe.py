"""Probes of one question: what happens to the answer when something is taken away."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from vif.commands.flags.common import (
    add_model_flags,
    check_output,
    load_session,
    progress_of,
    write_json,
)
from vif.commands.flags.parser import add_command
from vif.commands.flags.question import add_question_flags, question_of
from vif.errors import InputError
from vif.probes import PROBES
from vif.probes.protocol import Probe, ProbeCall
from vif.session import Session

ATTENTION = "attention"


def add(commands: Any) -> None:
    """Flags of ``probe`` and of each probe."""
    parser = add_command(commands, "probe", "remove something and observe the answer")
    kinds = parser.add_subparsers(dest="probe", required=True)
    for probe in PROBES.values():
        _add_probe(kinds, probe)


def _add_probe(kinds: Any, probe: Probe) -> None:
    parser = add_command(kinds, probe.name, probe.does)
    add_question_flags(parser, probe.takes_boxes)
    for flag in probe.flags:
        if flag.name != "seed":  # every command has one
            nargs = "+" if flag.several else None
            parser.add_argument(f"--{flag.name}", type=flag.kind, nargs=nargs, help=flag.text)
    if probe.needs_map:
        parser.add_argument(
            "--map",
            help="a method whose injected map is probed; vif, or vif-free without an adapter"
            if probe.needs_injection
            else f"a method whose injected map is probed, or {ATTENTION!r}; vif with an adapter, "
            "attention without",
        )
    parser.add_argument("--json", type=Path, help="JSON file for the results")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Runs one probe and prints its table."""
    question = question_of(args)
    check_output(args.json)
    session = load_session(args)
    probe = PROBES[args.probe]
    options = {flag.name: getattr(args, flag.name) for flag in probe.flags}
    call = ProbeCall(session, question, options=options, progress=progress_of("variants"))
    if probe.needs_map:
        call = _with_map(call, probe, args)
    found = probe.run(call)
    print(f"question: {question.text}")
    if question.answer:
        print(f"true answer: {question.answer}")
    print(probe.table(found, call))
    write_json(args.json, {"question": question.text, "truth": question.answer, **found.as_json()})


def _with_map(call: ProbeCall, probe: Probe, args: argparse.Namespace) -> ProbeCall:
    """The call with the answer whose map is probed.

    Raises:
        InputError: If its method injects none.
    """
    name = args.map or _own_map(call.session, probe)
    method = "plain" if name == ATTENTION else name
    trace = call.session.ask(call.question, methods=[method], seed=args.seed)[method]
    if name != ATTENTION and not trace.mixtures:
        choice = (
            "."
            if probe.needs_injection
            else f", or {ATTENTION!r} for the attention of the plain model."
        )
        raise InputError(
            f"Method {name!r} injects no map: name one that does, for example 'vif'{choice}"
        )
    return replace(call, method=method, trace=trace, label=name)


def _own_map(session: Session, probe: Probe) -> str:
    if session.adapter is not None:
        return "vif"
    return "vif-free" if probe.needs_injection else ATTENTION
