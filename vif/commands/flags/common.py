"""Flags that several commands share, and the values made from them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vif import bundled
from vif.errors import InputError
from vif.inputs.boxes import check_boxes
from vif.inputs.schema import QuestionInput, SettingsInput
from vif.inputs.video import read_frames
from vif.model.checkpoints.aspect import ASPECT_RATIOS
from vif.question import Question
from vif.scenes import ask_scene, draw_scene
from vif.session import Session, load
from vif.settings import Settings

# What flags are added to: a command's parser, or a titled part of its help.
Flags = argparse.ArgumentParser | argparse._ArgumentGroup

# Published names of the ranges and the strength, and the setting each one changes.
INJECTION_FLAGS = (
    ("--latent-apply-start", int, "first layer the map is injected into"),
    ("--latent-apply-end", int, "last layer the map is injected into"),
)
SETTING_FLAGS = (
    ("--latent-learning-start", int, "first layer the latent is read from"),
    ("--latent-learning-end", int, "last layer the latent is read from"),
    ("--latent-layer-stride", int, "stride of both ranges: use every n-th layer"),
    ("--latent-bias-alpha", float, "strength of the injection, 0 to 1"),
    ("--samples", int, "0 uses the mean of the latent, n averages over n samples"),
    ("--phase", str, "both, or prefill to steer only the prompt, as published"),
)


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Which model, where, and the seed."""
    parser.add_argument("--model-path", help="folder or Hub name of the model; default: bundled")
    parser.add_argument("--adapter", help="folder or Hub name; default: the bundled model's own")
    parser.add_argument("--device", help="cpu or cuda")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16")
    parser.add_argument(
        "--image-aspect-ratio",
        choices=ASPECT_RATIOS,
        help="pad or crop pictures to a square, for models that look at one; LLaVA-1.5 was trained "
        "with pad, its processor crops",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")


def add_setting_flags(parser: argparse.ArgumentParser, sets_injection: bool = True) -> None:
    """The settings of `Settings`, its injection range only where that is not the question."""
    if not sets_injection:
        parser.set_defaults(latent_apply_start=None, latent_apply_end=None)
    for flag, kind, text in (*SETTING_FLAGS, *(INJECTION_FLAGS if sets_injection else ())):
        parser.add_argument(flag, type=kind, help=text)
    parser.add_argument(
        "--set",
        dest="options",
        action="append",
        default=[],
        metavar="METHOD.OPTION=VALUE",
        help="a setting of one method; can be given several times",
    )


def add_methods_flag(parser: argparse.ArgumentParser, default: Sequence[str] | None) -> None:
    """Adds ``--methods``, the methods to compare."""
    parser.add_argument("--methods", nargs="+", default=default, help="methods to compare")


def add_question_flags(parser: argparse.ArgumentParser, takes_boxes: bool = True) -> None:
    """An image and a question, or a generated scene that brings both and the truth."""
    parser.add_argument("--image-file", help="image to ask about")
    parser.add_argument(
        "--other", nargs="+", metavar="FILE", help="other images to show; maps are for --image-file"
    )
    parser.add_argument(
        "--place", type=int, default=0, help="number of other images before it; default: 0"
    )
    parser.add_argument("--video", help="video to ask about, instead of an image")
    parser.add_argument(
        "--frames", type=int, default=8, help="number of frames to show; default: 8"
    )
    parser.add_argument(
        "--frame",
        type=int,
        help="index of the frame that maps are for, from 0; default: the middle one",
    )
    parser.add_argument("--query", help="the question")
    parser.add_argument("--context", default="", help="unrelated text before the question")
    if takes_boxes:
        parser.add_argument(
            "--box",
            type=float,
            nargs=4,
            action="append",
            metavar=("X0", "Y0", "X1", "Y1"),
            help="box of the answer, each side from 0 to 1; can be given several times",
        )
    parser.add_argument(
        "--scene", type=int, help="number of a generated scene, instead of an image"
    )
    parser.add_argument(
        "--question",
        type=int,
        default=0,
        help="index of the scene's question, if --query is not given",
    )


def question_of(args: argparse.Namespace) -> Question:
    """The question that the flags of `add_question_flags` give.

    Raises:
        InputError: If there is neither an image with a question nor a scene, or both, or if
            anything given is out of range.
    """
    sources = [args.scene, args.image_file, args.video]
    if sum(source is not None for source in sources) > 1:
        raise InputError("Give only one of --image-file, --video and --scene.")
    if args.scene is not None:
        found = _question_of_scene(args)
    elif args.query is not None and args.video is not None:
        found = _question_of_video(args)
    elif args.query is not None and args.image_file is not None:
        found = Question(args.image_file, args.query)
    else:
        raise InputError(
            "Give --image-file or --video with --query, or --scene for a generated picture."
        )
    if args.frame is not None and args.video is None:
        raise InputError("--frame is a frame of a video: give --video, or remove --frame.")
    if args.other or args.place:
        if args.video is not None:
            raise InputError(
                "Give either --video or --other and --place: the other images of a video are its "
                "frames."
            )
        found = replace(found, others=tuple(args.other or ()), place=args.place)
    boxes = getattr(args, "box", None) or []
    asked = QuestionInput.read({"question": found.text, "context": args.context, "look": boxes})
    check_boxes(asked.boxes)
    marked = tuple(asked.boxes) or None
    return replace(
        found, context=asked.context, boxes=found.boxes or marked, look=marked or found.boxes
    )


def _question_of_video(args: argparse.Namespace) -> Question:
    """A question about one frame of a video, the others beside it."""
    frames = read_frames(args.video, args.frames)
    chosen = len(frames) // 2 if args.frame is None else args.frame
    return Question.among([frame.image for frame in frames], chosen, args.query)


def _question_of_scene(args: argparse.Namespace) -> Question:
    """A question about a generated scene: one of its own questions, or the given one."""
    if args.scene < 0:
        raise InputError(f"--scene is {args.scene}, expected a number from 0.")
    scene = draw_scene(args.scene, "test")
    known = ask_scene(scene, args.scene)
    placed = [question for question in known if question.boxes]
    if args.query is not None:
        text = str(args.query).strip()
        question = next((one for one in known if one.text == text), None)
        if question is None:
            return Question(scene.image, text)
    elif 0 <= args.question < len(placed):
        question = placed[args.question]
    else:
        raise InputError(
            f"--question is {args.question}, but scene {args.scene} has questions 0 to "
            f"{len(placed) - 1}."
        )
    boxes = question.boxes_on(scene) or None
    return Question(scene.image, question.text, boxes=boxes, answer=question.answer)


def check_output(path: Path | None) -> None:
    """Makes sure that a file can be written before the work it is to hold is done.

    Raises:
        InputError: If it cannot; the message says why.
    """
    if path is None:
        return
    is_new = not path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from None
    if is_new:
        path.unlink()


def write_json(path: Path | None, found: Any) -> None:
    """Writes numbers to a file, if one was named.

    Raises:
        InputError: If that is impossible, for example because no space is left.
    """
    if path is None:
        return
    try:
        path.write_text(json.dumps(found, indent=1) + "\n")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): free some disk space and run the "
            "same command again."
        ) from error


def load_session(args: argparse.Namespace) -> Session:
    """The model and adapter of `add_model_flags`."""
    model, adapter = args.model_path or bundled.path(bundled.MODEL), args.adapter
    if adapter is None and bundled.is_model(model):
        adapter = bundled.path(bundled.ADAPTER)
    aspect = args.image_aspect_ratio
    return load(model, adapter, args.device, args.dtype, image_aspect_ratio=aspect)


def chosen_settings(args: argparse.Namespace, defaults: Settings) -> Settings:
    """The defaults with what was given by `add_setting_flags`.

    Raises:
        InputError: If anything given is out of range.
    """
    given = {
        "learning_start": args.latent_learning_start,
        "learning_end": args.latent_learning_end,
        "injection_start": args.latent_apply_start,
        "injection_end": args.latent_apply_end,
        "stride": args.latent_layer_stride,
        "alpha": args.latent_bias_alpha,
        "samples": args.samples,
        "phase": args.phase,
        "seed": args.seed,
        "max_new_tokens": getattr(args, "max_new_tokens", None),
        "options": parse_options(args.options) or None,
    }
    asked = SettingsInput.read({name: value for name, value in given.items() if value is not None})
    return replace(defaults, **asked.settings(defaults))


def parse_options(given: Sequence[str]) -> dict[str, dict[str, float]]:
    """``["pai.alpha=0.3"]`` as ``{"pai": {"alpha": 0.3}}``; the last of two values holds.

    Raises:
        InputError: If an entry does not have that form.
    """
    options: dict[str, dict[str, float]] = {}
    for entry in given:
        name, _, value = entry.partition("=")
        method, _, option = name.rpartition(".")
        try:
            options.setdefault(method, {})[option] = float(value)
        except ValueError:
            method = ""
        if not method or not option:
            raise InputError(
                f"--set {entry!r} cannot be read: expected method.option=value with a number for "
                "the value, for example --set pai.alpha=0.3."
            )
    return options


def progress_of(unit: str) -> Callable[..., None]:
    """Tells on stderr how far a command is.

    Args:
        unit: What is counted, in the plural.

    Returns:
        A callback (done, total, seconds left or None): a `Progress` or a `Forecast`. It rewrites
        one line of a terminal; a log gets a line for every tenth.
    """
    is_terminal, told = sys.stderr.isatty(), 0

    def show(done: int, total: int, seconds_left: float | None = None) -> None:
        nonlocal told
        tenth = 10 * done // total
        if not is_terminal and tenth == told:
            return
        told = tenth
        left = ""
        if seconds_left and done < total:
            minutes = seconds_left / 60
            left = f", {seconds_left:.0f} s left" if minutes < 2 else f", {minutes:.0f} min left"
        end = "\r" if is_terminal and done < total else "\n"
        # Blanks cover the end of a longer line.
        line = f"{done}/{total} {unit}{left}"
        print(f"{line:<48}" if is_terminal else line, end=end, file=sys.stderr, flush=True)

    return show
