"""Answers one question about one image."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from vif import report
from vif.commands.common import (
    add_methods_flag,
    add_model_flags,
    add_setting_flags,
    chosen_settings,
    load_session,
)
from vif.settings import Settings


def add(commands: Any) -> None:
    """Flags of ``ask``."""
    parser = commands.add_parser("ask", help="answer one question about one image")
    parser.add_argument("--image-file", required=True, help="image to ask about")
    parser.add_argument("--query", required=True, help="the question")
    parser.add_argument("--context", default="", help="unrelated text to put before it")
    parser.add_argument("--max-new-tokens", type=int, default=Settings.max_new_tokens)
    parser.add_argument("--save", type=Path, help="folder that gets one .npz trace per method")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_methods_flag(parser, ["plain", "vif"])
    add_model_flags(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Answers the question by every method."""
    session = load_session(args)
    settings = replace(chosen_settings(args, session.defaults), max_new_tokens=args.max_new_tokens)
    traces = session.ask(
        args.image_file, args.query, args.methods, context=args.context, **vars(settings)
    )
    if args.save is not None:
        args.save.mkdir(parents=True, exist_ok=True)
        for name, trace in traces.items():
            trace.save(args.save / f"{name}.npz")
    found = report.as_json(traces)
    if args.json:
        print(json.dumps(found))
        return
    for name, trace in traces.items():
        print(f"{name:<10} {trace.answer}")
        print(f"{'':<10} share on the image by layer:", *found["attenuation"][name])
