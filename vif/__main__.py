"""The command line: ``python -m vif --help`` lists its commands."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from vif import bench, convert, forms, methods, report
from vif import check as checks
from vif.backbone import Backbone
from vif.errors import InputError
from vif.loading import QUANTIZATIONS
from vif.scenes import SPLITS
from vif.scenes.export import export_scenes
from vif.session import Session, load
from vif.settings import Settings

DEMO_MODEL, DEMO_ADAPTER = "assets/demo-vlm", "assets/demo-vif"
# Published names of the ranges and the strength, and the setting each one changes.
SETTING_FLAGS = (
    ("--latent-learning-start", int, "first layer the latent is read from"),
    ("--latent-learning-end", int, "last layer the latent is read from"),
    ("--latent-apply-start", int, "first layer the map is injected into"),
    ("--latent-apply-end", int, "last layer the map is injected into"),
    ("--latent-layer-stride", int, "every how many layers in both ranges"),
    ("--latent-bias-alpha", float, "strength of the injection, 0 to 1"),
    ("--samples", int, "0 for the latent's mean, n for the average of n samples"),
    ("--phase", str, "both, or prefill to leave generated rows alone as published"),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="python -m vif", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)

    ask = commands.add_parser("ask", help="answer one question about one image")
    ask.add_argument("--image-file", required=True, help="image to ask about")
    ask.add_argument("--query", required=True, help="the question")
    ask.add_argument("--context", default="", help="unrelated text to put before it")
    ask.add_argument("--max-new-tokens", type=int, default=Settings.max_new_tokens)
    ask.add_argument("--save", type=Path, help="folder that gets one .npz trace per method")
    ask.add_argument("--json", action="store_true", help="print JSON instead of text")
    _add_model_flags(ask, ["plain", "vif"])

    run = commands.add_parser("bench", help="accuracy and attention on generated scenes")
    run.add_argument("--split", choices=SPLITS, default="test")
    run.add_argument("--n", type=int, default=2000, help="number of questions")
    run.add_argument("--text", type=int, nargs="+", default=[0], help="tokens of unrelated text")
    run.add_argument("--json", type=Path, help="file that gets the numbers")
    _add_model_flags(run, ["plain", "vif", "uniform", "random", "oracle"])

    scenes = commands.add_parser("scenes", help="write scenes as PNG and LLaVA-format JSON")
    scenes.add_argument("--split", choices=SPLITS, default="test")
    scenes.add_argument("--n", type=int, default=100, help="number of scenes")
    scenes.add_argument("--text", type=int, default=0, help="tokens of unrelated text")
    scenes.add_argument("--seed", type=int, default=0)
    scenes.add_argument("--out", type=Path, required=True)

    convert = commands.add_parser(
        "convert-checkpoint", help="turn a checkpoint of the published project into an adapter"
    )
    convert.add_argument("folder", type=Path, help="the published checkpoint")
    convert.add_argument("out", type=Path, help="folder that gets the adapter")
    commands.add_parser("compare-forms", help="what the published form and this one do and cost")
    check = commands.add_parser("check", help="prove on a model that everything here holds for it")
    check.add_argument("model", nargs="?", help="folder or Hub name; a family with --tiny")
    check.add_argument("--tiny", action="store_true", help="a tiny random model of the family")
    check.add_argument("--all", action="store_true", help="every family, with --tiny")
    check.add_argument("--device", help="cpu or cuda")
    check.add_argument("--dtype", help="float32, bfloat16 or float16")
    check.add_argument("--quantization", choices=QUANTIZATIONS, help="needs bitsandbytes")
    return parser


def _add_model_flags(parser: argparse.ArgumentParser, default_methods: list[str]) -> None:
    parser.add_argument("--model-path", default=DEMO_MODEL, help="folder or Hub name of the model")
    parser.add_argument("--adapter", help="folder or Hub name; the bundled one for its model")
    parser.add_argument("--methods", nargs="+", default=default_methods, help="methods to compare")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    for flag, kind, text in SETTING_FLAGS:
        parser.add_argument(flag, type=kind, help=text)


def _load(args: argparse.Namespace) -> Session:
    adapter = args.adapter
    if adapter is None and args.model_path == DEMO_MODEL and Path(DEMO_ADAPTER).is_dir():
        adapter = DEMO_ADAPTER
    return load(args.model_path, adapter, args.device, args.dtype)


def _settings(args: argparse.Namespace, defaults: Settings) -> Settings:
    """The defaults with what was given on the command line."""

    def pick(value: Any, default: Any) -> Any:
        return default if value is None else value

    return replace(
        defaults,
        learning=(
            pick(args.latent_learning_start, defaults.learning[0]),
            pick(args.latent_learning_end, defaults.learning[1]),
        ),
        injection=(
            pick(args.latent_apply_start, defaults.injection[0]),
            pick(args.latent_apply_end, defaults.injection[1]),
        ),
        stride=pick(args.latent_layer_stride, defaults.stride),
        alpha=pick(args.latent_bias_alpha, defaults.alpha),
        samples=pick(args.samples, defaults.samples),
        phase=pick(args.phase, defaults.phase),
        seed=args.seed,
    )


def ask(args: argparse.Namespace) -> None:
    """Answers one question."""
    session = _load(args)
    settings = replace(_settings(args, session.defaults), max_new_tokens=args.max_new_tokens)
    traces = session.ask(
        args.image_file,
        args.query,
        args.methods,
        context=args.context,
        **vars(settings),
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


def run_bench(args: argparse.Namespace) -> None:
    """Runs the benchmark, one table per text length."""
    if args.n < 1 or min(args.text) < 0:
        raise InputError(f"--n is {args.n} and --text {args.text}: expected at least 1 and 0.")
    for name in args.methods:
        methods.find(name)
    session = _load(args)
    settings = _settings(args, session.defaults)
    names = list(dict.fromkeys([bench.BASELINE, *args.methods]))
    runs = []
    for text in args.text:
        questions = bench.items(args.split, args.n, args.seed, text)
        found = bench.run(session, questions, names, settings, _progress)
        head = {"text": text, "n": args.n, "seed": args.seed, "split": args.split}
        runs.append(head | {"methods": found})
        print(bench.table(runs[-1]), flush=True)
        if args.json is not None:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(runs, indent=1) + "\n")


def _progress(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"
    print(f"{done}/{total} questions", end=end, file=sys.stderr, flush=True)


def write_scenes(args: argparse.Namespace) -> None:
    """Writes scenes."""
    path = export_scenes(args.out, args.split, args.n, args.seed, args.text)
    print(f"{args.n} scenes in {path}")


def convert_checkpoint(args: argparse.Namespace) -> None:
    """Converts a published checkpoint."""
    config = convert.convert_checkpoint(args.folder, args.out).config
    print(
        f"Adapter in {args.out}: width {config.width}, {config.num_components} components, read "
        f"from layers {config.learning[0]} to {config.learning[1]}, injected into "
        f"{config.injection[0]} to {config.injection[1]}, every {config.stride}. The language "
        "model, which was tuned with it, is not converted."
    )


def compare_forms(_: argparse.Namespace) -> None:
    """Prints what both forms do and cost."""
    print(forms.table(*forms.compare()))


def run_check(args: argparse.Namespace) -> int:
    """Prints the error of every check; 1 if one is over its limit."""
    if args.all == (args.model is not None) or (args.all and not args.tiny):
        raise InputError("Name one model, or a family with --tiny, or give --all with --tiny.")
    if not args.tiny:
        backbone = Backbone.load(args.model, args.device, args.dtype, args.quantization)
        found = {args.model: list(checks.check_model(backbone))}
    else:
        device = args.device or "cpu"
        families = checks.TINY if args.all else [args.model]
        found = {family: list(checks.check_tiny(family, device)) for family in families}
    print(checks.grid_table(found) if args.all else checks.model_table(found[args.model]))
    return int(not all(outcome.passed for outcomes in found.values() for outcome in outcomes))


def main(argv: list[str] | None = None) -> int:
    """Runs a command; a person's mistake is one line on stderr and exit status 2."""
    arguments = sys.argv[1:] if argv is None else argv
    # Underscores are what the published project's users type.
    plain = [a.replace("_", "-") if a.startswith("--") and "=" not in a else a for a in arguments]
    args = build_parser().parse_args(plain)
    try:
        return COMMANDS[args.command](args) or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


COMMANDS = {
    "ask": ask,
    "bench": run_bench,
    "scenes": write_scenes,
    "convert-checkpoint": convert_checkpoint,
    "compare-forms": compare_forms,
    "check": run_check,
}

if __name__ == "__main__":
    sys.exit(main())
