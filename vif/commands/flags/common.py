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
from vif.inputs.schema import SettingsInput
from vif.model.checkpoints.aspect import ASPECT_RATIOS
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
