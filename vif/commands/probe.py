"""Probes of one question: what happens to the answer when something is taken away."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from vif import probes
from vif.commands.common import (
    add_model_flags,
    add_question_flags,
    check_output,
    load_session,
    progress_of,
    question_of,
    write_json,
)
from vif.commands.tables import grid, span
from vif.errors import InputError
from vif.probes.lens import TOP
from vif.question import Question
from vif.session import Session

ATTENTION = "attention"


def add(commands: Any) -> None:
    """Flags of ``probe`` and of each probe."""
    parser = commands.add_parser("probe", help="take something away and watch the answer")
    kinds = parser.add_subparsers(dest="probe", required=True)

    one = _kind(kinds, "knockout", knockout, "cut a flow of attention in a window of layers")
    one.add_argument("--window", type=int, help="layers of a window")
    flows = ", ".join(probes.FLOWS + probes.BOX_FLOWS)
    one.add_argument("--flows", nargs="+", help=f"which of {flows}")
    one.add_argument("--answer", help="watch its first token; the model's own answer by default")

    one = _kind(kinds, "exit", leave, "drop the image after a layer", takes_boxes=False)
    one.add_argument("--answer", help="answer to watch; the model's own by default")

    one = _kind(kinds, "deletion", deletion, "hide the tokens that a map marks, or random ones")
    one.add_argument("--answer", help="answer to watch; the model's own by default")
    one.add_argument(
        "--map",
        help=f"a method whose injected map is tested, or {ATTENTION!r}; vif with an adapter, "
        "attention without",
    )
    one.add_argument("--draws", type=int, default=8, help="random orders")

    text = "which words the states of every layer stand for (logit lens)"
    one = _kind(kinds, "lens", lens, text, takes_boxes=False)
    one.add_argument("--top", type=int, default=TOP, help="words per layer")

    text = "compare head outputs with and without the image"
    one = _kind(kinds, "heads", heads, text, takes_boxes=False)
    one.add_argument("--top", type=int, help="heads per layer in the sum")


def _kind(
    kinds: Any, name: str, show: Any, text: str, takes_boxes: bool = True
) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=text)
    add_question_flags(parser, takes_boxes)
    parser.add_argument("--json", type=Path, help="file that gets the numbers")
    add_model_flags(parser)
    parser.set_defaults(run=run, show=show)
    return parser


def run(args: argparse.Namespace) -> None:
    """Runs one probe and prints its table."""
    question = question_of(args)
    check_output(args.json)
    session = load_session(args)
    found, table = args.show(session, question, args)
    print(f"question: {question.text}")
    if question.answer:
        print(f"true answer: {question.answer}")
    print(table)
    write_json(args.json, {"question": question.text, "truth": question.answer, **found.as_json()})


def knockout(
    session: Session, question: Question, args: argparse.Namespace
) -> tuple[probes.Knockout, str]:
    """Change of the first token's probability by flow and window."""
    found = probes.knockout(
        session,
        question,
        answer=args.answer,
        flows=args.flows,
        window=args.window,
        progress=progress_of("variants"),
    )
    columns = [span(*ends) for ends in found.spans.tolist()]
    return found, "\n".join(
        [
            f"token watched: {found.token!r}, probability {found.probability:.4f}",
            "change in per cent when a flow is cut in these layers:",
            grid(found.flows, columns, found.change, "+.1f", "flow"),
        ]
    )


def leave(
    session: Session, question: Question, args: argparse.Namespace
) -> tuple[probes.ExitSweep, str]:
    """What stays of the answer, layer by layer."""
    found = probes.exit_sweep(
        session,
        question,
        answer=args.answer,
        progress=progress_of("variants"),
    )
    values = np.stack([found.same, found.kl, found.probability], 1).astype(float)
    names = ["never seen", *map(str, found.after[1:])]
    first = f"after layer {found.first}" if found.first >= 0 else "without the image at all"
    return found, "\n".join(
        [
            f"answer watched: {found.answer!r}",
            grid(names, ["same", "KL", "probability"], values, ".4g", "image seen up to layer"),
            f"the answer stays the same from an exit {first}",
        ]
    )


def lens(
    session: Session, question: Question, args: argparse.Namespace
) -> tuple[probes.LogitLens, str]:
    """Words of the last row, and the words that most image tokens stand for, by layer."""
    if args.top < 1:
        raise InputError(f"--top is {args.top}, expected at least 1.")
    found = probes.logit_lens(session, question, top=args.top)
    lines = [f"first word of the answer: {found.answer!r}", "layer  rank  last row"]
    for layer, (words, shares) in enumerate(zip(found.words, found.probabilities, strict=True)):
        shown = ", ".join(f"{w!r} {p:.2f}" for w, p in zip(words, shares, strict=True))
        lines.append(f"{layer:>5}  {found.rank[layer]:>4}  {shown}")
    lines.append("layer  most frequent words of the image tokens, how many")
    for layer, words in enumerate(found.image_words):
        shown = ", ".join(f"{w!r} {n}" for w, n in Counter(words).most_common(args.top))
        lines.append(f"{layer:>5}  {shown}")
    return found, "\n".join(lines)


def deletion(
    session: Session, question: Question, args: argparse.Namespace
) -> tuple[probes.DeletionCurve, str]:
    """The answer's probability as tokens are hidden."""
    name = args.map or ("vif" if session.adapter is not None else ATTENTION)
    method = "plain" if name == ATTENTION else name
    trace = session.ask(question, methods=[method], seed=args.seed)[method]
    if name != ATTENTION and not trace.mixtures:
        raise InputError(
            f"Method {name!r} injects no map that could be tested: name one that does, for example "
            f"'vif', or {ATTENTION!r} for where the plain model looks."
        )
    found = probes.deletion_curve(
        session,
        question,
        probes.map_of(trace),
        answer=args.answer,
        draws=args.draws,
        seed=args.seed,
        progress=progress_of("variants"),
    )
    columns = [f"{share:.0%}" for share in found.shares]
    low, high = found.random.min(0), found.random.max(0)
    values = np.stack([found.top, found.random.mean(0), low, high])
    names = [f"top of {name}", f"random, mean of {args.draws}", "random, lowest", "random, highest"]
    return found, "\n".join(
        [
            f"answer watched: {found.answer!r}; its probability with these tokens hidden:",
            grid(names, columns, values, ".4f", "hidden"),
            f"area between random and top: {found.area:+.4f}; single random orders against the "
            f"others: {found.areas.min():+.4f} to {found.areas.max():+.4f}",
        ]
    )


def heads(
    session: Session, question: Question, args: argparse.Namespace
) -> tuple[probes.HeadDivergence, str]:
    """How far every head's output moves without the image."""
    found = probes.head_divergence(session, question, top=args.top)
    layers, columns = (range(size) for size in found.divergence.shape)
    return found, "\n".join(
        [
            "distance of head outputs with and without the image (VHD), layer down, head across:",
            grid(layers, columns, found.divergence, ".3f", "layer"),
            "the same over the norm of the output with the image:",
            grid(layers, columns, found.relative, ".3f", "layer"),
            f"sum of the {found.top} largest of every layer (T-VHD): {found.total:.3f}",
        ]
    )
