"""Answers one question about one image."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from vif import metrics, report
from vif.commands import ask_data
from vif.commands.flags.common import (
    add_methods_flag,
    add_model_flags,
    add_setting_flags,
    chosen_settings,
    load_session,
)
from vif.commands.flags.parser import add_command
from vif.commands.flags.question import add_question_flags, question_of
from vif.draw.tables import grid
from vif.probes.base import plain


def add(commands: Any) -> None:
    """Flags of ``ask``."""
    parser = add_command(commands, "ask", "answer one question about one image")
    add_question_flags(parser)
    ask_data.add_flags(parser)
    parser.add_argument("--save", type=Path, help="folder for one .npz trace per method")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--metrics", action="store_true", help="also print all metrics by layer")
    add_methods_flag(parser, ["plain", "vif"])
    add_model_flags(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Answers one question, or all questions of a file, by every chosen method."""
    if args.data is not None:
        ask_data.run(args)
        return
    question = question_of(args)
    session = load_session(args)
    settings = chosen_settings(args, session.defaults)
    traces = session.ask(question, methods=args.methods, settings=settings)
    if args.save is not None:
        args.save.mkdir(parents=True, exist_ok=True)
        for name, trace in traces.items():
            trace.save(args.save / f"{name}.npz")
    found = report.as_json(traces)
    curves = {}
    if args.metrics:
        curves = {n: metrics.by_layer(t, boxes=question.boxes or ()) for n, t in traces.items()}
        found["metrics"] = {name: curves_json(values) for name, values in curves.items()}
    if args.json:
        print(json.dumps(found))
        return
    for name, trace in traces.items():
        print(f"{name:<10} {trace.answer}")
        print(f"{'':<10} share on the image by layer:", *_shown(found["attenuation"][name]))
        if "others" in found:
            print(f"{'':<10} share on the other images:  ", *_shown(found["others"][name]))
        if name in curves:
            values = np.stack(list(curves[name].values()))
            print(grid(list(curves[name]), range(values.shape[1]), values, ".3f", "layer"), "\n")


def _shown(values: list[float | None]) -> list[str]:
    return ["-" if value is None else str(value) for value in values]


def curves_json(curves: dict[str, np.ndarray]) -> dict[str, list[float | None]]:
    """Curves of metrics as JSON values."""
    return {key: plain(values) for key, values in curves.items()}
