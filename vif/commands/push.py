"""Uploads the Space, the bundled model, an adapter or scenes to the Hugging Face Hub."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import safe_open

from vif import bundled
from vif.adapter import VIFAdapter
from vif.commands.flags.parser import add_command
from vif.errors import InputError
from vif.hub.cards import card, figures
from vif.hub.repository import upload
from vif.model.checkpoints.catalogue import GPU_MODEL
from vif.scenes import SPLITS
from vif.scenes.export import export_scenes
from vif.scenes.world import IMAGE_SIZE

# Of the checkout: what a Space needs to start, and its card.
_THUMBNAIL = "docs/images/first-screen.png"
_SPACE_FILES = (
    "app.py", "README.md", "LICENSE", "requirements.txt", "vif/**/*", "assets/**/*", _THUMBNAIL,
)  # fmt: skip
_LEFT_OUT = ("**/__pycache__/**", "**/*.pyc", "assets/results/logs/**")
CPU, ZERO = "cpu-basic", "zero-a10g"
# PyPI's torch brings gigabytes of CUDA libraries; of two builds pip takes the one marked "+cpu".
_CPU_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu\n"
_SUGGESTED = "suggested_hardware: "
_SPACES = "https://huggingface.co/spaces"


def add(commands: Any) -> None:
    """Flags of ``push``."""
    parser = add_command(
        commands, "push", "upload the Space, a model, an adapter or scenes to the Hub"
    )
    parser.add_argument(
        "kind", choices=("space", "model", "adapter", "dataset"), help="what is uploaded"
    )
    parser.add_argument("name", help="name of the repository: user/name")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--folder", type=Path, help="folder of the Space or adapter; default: the bundled one"
    )
    parser.add_argument(
        "--hardware", choices=(CPU, ZERO), default=CPU, help="hardware of the Space"
    )
    parser.add_argument("--base-model", help="Hub name of the base model of an adapter")
    parser.add_argument("--split", choices=SPLITS, default="test", help="split of the scenes")
    parser.add_argument("--n", type=int, default=1000, help="number of scenes")
    parser.add_argument("--text", type=int, default=0, help="tokens of unrelated text")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Collects the files with their card, uploads them and prints the address."""
    with TemporaryDirectory(prefix="vif-push-") as work:
        print(_PUSH[args.kind](args, Path(work)))


def _space(args: argparse.Namespace, work: Path) -> str:
    folder = args.folder or Path(bundled.path(bundled.MODEL)).parents[1]
    if not (folder / "app.py").is_file():
        raise InputError(
            f"{folder} contains no app.py: push a Space from a checkout of VIF Lens, or give "
            "its folder with --folder."
        )
    for pattern in _SPACE_FILES:
        for path in filter(Path.is_file, folder.glob(pattern)):
            copy = work / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    prepare_for(args.hardware, work, args.name)
    return upload(work, args.name, "space", private=args.private, ignore=_LEFT_OUT)


def prepare_for(hardware: str, folder: Path, name: str) -> None:
    """Changes a Space's files for what it runs on: where torch comes from, and its card.

    Args:
        hardware: ``"cpu-basic"`` or ``"zero-a10g"``; a Space on the latter downloads its model at
            build time.
        folder: With ``requirements.txt`` and ``README.md``.
        name: Of the Space, ``user/name``; the thumbnail is a file of it.
    """
    requirements, readme = folder / "requirements.txt", folder / "README.md"
    if hardware == CPU:
        requirements.write_text(_CPU_INDEX + requirements.read_text(encoding="utf-8"))
    told = f"{_SUGGESTED}{hardware}\nthumbnail: {_SPACES}/{name}/resolve/main/{_THUMBNAIL}"
    if hardware == ZERO:
        told += f"\npreload_from_hub:\n  - {GPU_MODEL}"
    card = readme.read_text(encoding="utf-8")
    readme.write_text(card.replace(_SUGGESTED + CPU, told, 1), encoding="utf-8")


def _model(args: argparse.Namespace, work: Path) -> str:
    source = bundled.path(bundled.MODEL)
    shutil.copytree(source, work, dirs_exist_ok=True)
    with safe_open(source / "model.safetensors", "pt") as weights:
        slices = (weights.get_slice(name).get_shape() for name in weights.keys())  # noqa: SIM118
        parameters = sum(_product(shape) for shape in slices)
    told = card(
        "model", name=args.name, parameters=f"{parameters / 1e6:.1f} million", size=IMAGE_SIZE,
        figures=_figures(),
    )  # fmt: skip
    (work / "README.md").write_text(told, encoding="utf-8")
    return upload(work, args.name, private=args.private)


def _adapter(args: argparse.Namespace, _: Path) -> str:
    is_bundled = args.folder is None
    folder = bundled.path(bundled.ADAPTER) if is_bundled else args.folder
    adapter = VIFAdapter.from_pretrained(folder)
    return adapter.push_to_hub(
        args.name,
        private=args.private,
        base_model=args.base_model,
        figures=_figures() if is_bundled else {},
    )


def _dataset(args: argparse.Namespace, work: Path) -> str:
    if args.n < 1 or args.text < 0 or args.seed < 0:
        raise InputError(
            f"--n is {args.n}, --text {args.text} and --seed {args.seed}: expected at least 1, 0 "
            "and 0."
        )
    export_scenes(work, args.split, args.n, args.seed, args.text)
    told = {"split": args.split, "scenes": args.n, "seed": args.seed, "text": args.text}
    (work / "README.md").write_text(card("dataset", name=args.name, **told), encoding="utf-8")
    return upload(work, args.name, "dataset", private=args.private)


def _figures() -> dict[str, Any]:
    return figures(bundled.path(bundled.MODEL).parent / "results")


def _product(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


_PUSH = {"space": _space, "model": _model, "adapter": _adapter, "dataset": _dataset}
