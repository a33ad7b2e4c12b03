"""Puts a trained model, its adapter and its examples into assets/."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from training.reproduce import choose_examples, make_examples
from vif import load

MODEL_FILES = ("*.json", "*.safetensors", "*.jinja")
ADAPTER_FILES = ("config.json", "model.safetensors")


def install(model: Path, adapter: Path, assets: Path) -> None:
    """Copies the files to ship; other files in the folders stay."""
    for source, name, patterns in (
        (model, "demo-vlm", MODEL_FILES),
        (adapter, "demo-vif", ADAPTER_FILES),
    ):
        folder = assets / name
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in patterns:
            for path in source.glob(pattern):
                shutil.copyfile(path, folder / path.name)


def main() -> None:
    """Parses the command line and runs the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--assets", type=Path, default=Path("assets"))
    parser.add_argument("--questions", type=int, default=choose_examples.NUM_QUESTIONS)
    args = parser.parse_args()
    install(args.model, args.adapter, args.assets)
    session = load(args.assets / "demo-vlm", args.assets / "demo-vif")
    examples = choose_examples.pick(session, print, args.questions)
    make_examples.write(session, examples, args.assets / "examples")


if __name__ == "__main__":
    main()
