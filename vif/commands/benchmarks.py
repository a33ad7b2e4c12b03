"""The benchmarks of the results pages of VIF and AIF, through lmms-eval, beside their figures."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vif import bundled, methods
from vif.commands.flags.common import add_methods_flag, add_model_flags, load_session, parse_options
from vif.commands.flags.parser import add_command
from vif.errors import InputError
from vif.lmms_eval.rows import ROWS, Row
from vif.lmms_eval.table import count_unjudged, read_results, table
from vif.question import Question
from vif.scenes import draw_scene
from vif.session import Session

_TRIES = 3


def add(commands: argparse._SubParsersAction) -> None:
    """Flags of ``benchmarks``."""
    parser = add_command(
        commands, "benchmarks", "run the published benchmarks through lmms-eval with any method"
    )
    names = [row.name for row in ROWS]
    parser.add_argument(
        "--tasks", nargs="+", choices=[*names, "vif", "aif", "all"], default=["vif"],
        metavar="TASK", help=f"vif and aif are the rows of their tables: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder for results")
    parser.add_argument("--limit", type=int, help="questions per task, for a quick trial")
    parser.add_argument("--batch-size", type=int, default=8, help="questions asked at once")
    parser.add_argument(
        "--num-processes", type=int, default=1, help="processes started by accelerate, one per GPU"
    )
    parser.add_argument(
        "--python", default=sys.executable, help="the Python of the environment that has lmms-eval"
    )
    parser.add_argument(
        "--set", dest="options", action="append", default=[], metavar="METHOD.OPTION=VALUE",
        help="a setting of one method; can be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="list tasks, sizes and estimated time; run nothing"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help="seconds per question, for the estimate; measured on three questions by default",
    )
    add_methods_flag(parser, ["plain", "vif"])
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Lists or runs, then prints the table of all that lies in the folder."""
    rows = chosen_rows(args.tasks)
    for name in args.methods:
        methods.find(name)
    if args.dry_run:
        print(_plan(args, rows))
        return
    rows = with_judge(rows)
    _check_lmms_eval(args.python)
    for name in args.methods:
        command = command_of(args, rows, name)
        print(" ".join(command), file=sys.stderr, flush=True)
        done = subprocess.run(command, check=False, env=_environment())
        if done.returncode:
            raise InputError(
                f"lmms-eval ended with status {done.returncode} for the method {name!r}; its "
                "output is above, and finished methods are kept."
            )
    measured = {name: read_results(args.out / name) for name in args.methods}
    _drop_unjudged(rows, measured, args.out)
    print(table(rows, measured))


def _drop_unjudged(
    rows: Sequence[Row], measured: Mapping[str, dict[str, dict[str, float]]], out: Path
) -> None:
    """Removes figures of judged tasks with answers that got no score, and says so."""
    for row in rows:
        for name, results in measured.items():
            if row.judged and (number := count_unjudged(out / name, row)):
                results.pop(row.task, None)
                print(f"{row.label}, {name}: {number} answers were not judged: no figure.")


def chosen_rows(tasks: Sequence[str]) -> list[Row]:
    """Rows by name or by table, in the order of the tables."""
    return [row for row in ROWS if {row.name, row.group, "all"} & set(tasks)]


def with_judge(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows that can be scored here; prints the skipped ones.

    Without a judge lmms-eval scores both answers -1 and prints their ratio, 100 %.

    Raises:
        InputError: If none is left.
    """
    # Other interfaces than OpenAI's take keys of their own, which lmms-eval asks for.
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("API_TYPE", "openai") != "openai":
        return rows
    able = [row for row in rows if not row.judged]
    if judged := [row.label for row in rows if row.judged]:
        words = (
            f"Skipped, because another model judges the answers and OPENAI_API_KEY is not set: "
            f"{', '.join(judged)}. Set it, and OPENAI_API_URL for your own server."
        )
        if not able:
            raise InputError(words)
        print(words, file=sys.stderr)
    return able


def command_of(args: argparse.Namespace, rows: Sequence[Row], method: str) -> list[str]:
    """How lmms-eval is called for one method."""
    model = args.model_path or str(bundled.path(bundled.MODEL))
    adapter = args.adapter
    if adapter is None and bundled.is_model(model):
        adapter = str(bundled.path(bundled.ADAPTER))
    given = {"pretrained": model, "method": method, "adapter": adapter, "dtype": args.dtype}
    given |= {"device": args.device, "image_aspect_ratio": args.image_aspect_ratio}
    given |= {"seed": args.seed}
    for name, options in parse_options(args.options).items():
        if name == method:
            given |= {f"{name}.{option}": value for option, value in options.items()}
    arguments = ",".join(f"{key}={value}" for key, value in given.items() if value is not None)
    launcher = [args.python, "-m"]
    if args.num_processes > 1:
        launcher += ["accelerate.commands.launch", "--num_processes", str(args.num_processes)]
        # Any free port, so that two runs on one machine do not meet.
        launcher += ["--multi_gpu", "--main_process_port", "0", "-m"]
    command = [
        *launcher, "lmms_eval", "--model", "vif_lens", "--model_args", arguments,
        "--tasks", ",".join(row.task for row in rows), "--batch_size", str(args.batch_size),
        "--gen_kwargs", "temperature=0,num_beams=1",
        "--output_path", str(args.out / method), "--log_samples",
    ]  # fmt: skip
    if args.limit:
        command += ["--limit", str(args.limit)]
    return command


def _environment() -> dict[str, str]:
    """Lets a checkout that is not installed be found."""
    root = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": root if known is None else f"{root}{os.pathsep}{known}"}


def _check_lmms_eval(python: str) -> None:
    """Raises `InputError` unless lmms-eval and this package are in an environment."""
    code = (
        "from importlib.metadata import entry_points as e; import lmms_eval; "
        "import sys; sys.exit(0 if e(group='lmms_eval.models', name='vif_lens') else 3)"
    )
    try:
        status = subprocess.run([python, "-c", code], capture_output=True, check=False).returncode
    except OSError as error:
        raise InputError(f"--python {python!r} cannot be run ({error.strerror}).") from None
    if status:
        raise InputError(
            f"lmms-eval does not find VIF Lens in the environment of {python}: run there: pip "
            "install -e . 'lmms-eval>=0.7.3,<0.8', or name another with --python."
        )


def _plan(args: argparse.Namespace, rows: Sequence[Row]) -> str:
    """Tasks, sizes and time, plain and with every method."""
    seconds: dict[str, float]
    if args.seconds is None:
        seconds = _measured(load_session(args), args.methods)
    else:
        seconds = {name: float(args.seconds) for name in args.methods}
    lines = [f"{'task':<26}{'questions':>10}" + "".join(f"{name:>12}" for name in args.methods)]
    total = dict.fromkeys(args.methods, 0.0)
    for row in rows:
        number = min(row.questions, args.limit or row.questions)
        times = {name: number * seconds[name] / args.num_processes for name in args.methods}
        total = {name: total[name] + times[name] for name in args.methods}
        shown = "".join(f"{_hours(times[name]):>12}" for name in args.methods)
        lines.append(f"{row.task:<26}{number:>10,}{shown}")
    lines.append(f"{'all':<36}" + "".join(f"{_hours(total[name]):>12}" for name in args.methods))
    each = ", ".join(f"{name} {seconds[name]:.2f} s" for name in args.methods)
    how = "as given" if args.seconds else f"measured on {_TRIES} generated pictures, one by one"
    return "\n".join([*lines, f"per question ({how}): {each}"])


def _measured(session: Session, names: Sequence[str]) -> dict[str, float]:
    """Seconds per question and method, image and all, after a first one that warms up."""
    settings = replace(session.defaults, max_new_tokens=8)
    scene = draw_scene(0)
    found = {}
    for name in names:
        boxes = [(0.0, 0.0, 0.5, 0.5)]
        image = scene.image.resize((640, 480))
        asked = Question(image, "What is in this picture?", boxes=boxes, look=boxes)
        session.ask_batch([asked], [name], settings)
        started = time.perf_counter()
        for _ in range(_TRIES):
            session.ask_batch([asked], [name], settings)
        found[name] = (time.perf_counter() - started) / _TRIES
    return found


def _hours(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
