"""Writes the scenes that the bundled adapter is trained and validated on.

    python -m training.data.make_scenes --folder runs/scenes

`train.json` holds every question as a record of its own, so that none sees another's answer;
`validation.json` and `validation-text.json` are the same questions without and with unrelated text.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.pretrain.processor import OPENINGS
from vif.scenes.export import ExportOptions, export_scenes

# The backbone often gets relations wrong, and a map can correct that.
FAMILY_WEIGHTS = {
    "nearest": 3.5, "left": 3.0, "right": 3.0, "above": 3.0, "below": 3.0, "odd": 2.0,
    "neighbour-cell": 2.5, "tiny": 1.2, "glyph": 0.8,
}  # fmt: skip
FIRST_SEED = 100_000_000  # far from those of pre-training
VALIDATION_TEXT = 128


def main() -> None:
    """Parses the command line and runs the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--scenes", type=int, default=16_000, help="training scenes")
    parser.add_argument("--validation_scenes", type=int, default=96)
    parser.add_argument("--questions", type=int, default=12, help="questions per scene")
    parser.add_argument("--text_share", type=float, default=0.4, help="with unrelated text")
    parser.add_argument("--text_max", type=int, default=128, help="longest such text in tokens")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    args = parser.parse_args()
    options = ExportOptions(
        questions=args.questions,
        weights=FAMILY_WEIGHTS,
        text=args.text_max,
        least_text=1,
        text_share=args.text_share,
        openings=OPENINGS,
        opening_share=0.08,
        apart=True,
        ambiguous=1,
    )
    export_scenes(
        args.folder, "train", args.scenes, FIRST_SEED, options=options, workers=args.workers
    )
    # The one with text first: an export is called by its split.
    for length, name in ((VALIDATION_TEXT, "validation-text"), (0, "validation")):
        options = ExportOptions(questions=args.questions, text=length, apart=True)
        path = export_scenes(args.folder, "validation", args.validation_scenes, options=options)
        path.replace(args.folder / f"{name}.json")
    print(f"{args.folder}: {args.scenes} scenes to train on")


if __name__ == "__main__":
    main()
