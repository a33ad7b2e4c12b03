"""Selects the examples of the page and records their answers.

    python -m training.reproduce.make_examples

Successes, failures, and questions whose answer VIF changes, from the test split; see
`training.reproduce.choose_examples`. Run it again after either the bundled model or its adapter has
changed; tests ask every example and every lesson again. It fails where a kind is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from training.reproduce.choose_examples import KINDS, ExampleKind, boxes_of, pick
from vif import bench, bundle, load
from vif.session import Session


def write(session: Session, examples: list[dict], folder: Path) -> None:
    """Writes ``examples.json``, and for each example its picture and its recorded answers."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("scene-*.png"), *folder.glob("scene-*.zip")):
        old.unlink()
    listing = []
    for number, example in enumerate(examples, 1):
        item, kind = example["item"], example["kind"]
        name = f"scene-{number}"
        item.scene.image.save(folder / f"{name}.png")
        record(session, item, _note(kind, item), folder / f"{name}.zip")
        listing.append(
            {
                "image": f"{name}.png",
                "recorded": f"{name}.zip",
                "label": kind.label,
                "question": item.question.text,
                "truth": item.question.answer,
                "boxes": boxes_of(item),
                "note": _note(kind, item),
                "text": kind.text,
                **{key: example[key] for key in ("plain", "vif", "chosen_from")},
            }
        )
    (folder / "examples.json").write_text(json.dumps(listing, indent=1) + "\n")


def _note(kind: ExampleKind, item: bench.BenchItem) -> str:
    """What to see in an example; an answer that names a cell is explained."""
    answer = item.question.answer
    if not re.fullmatch("[a-d][1-4]", answer):
        return kind.note
    return f"{kind.note} {answer} is a cell of a 4 x 4 grid: a1 is top left, d4 bottom right."


def record(session: Session, item: bench.BenchItem, note: str, path: Path) -> None:
    """Asks an example alone, as the page does, and saves the answers."""
    asked, settings = item.question, session.defaults
    traces = session.ask(item.as_question, settings=settings)
    boxes = tuple(boxes_of(item))
    made = {"model": session.name, "adapter": traces["vif"].meta["adapter"]}
    assert session.adapter is not None  # what is recorded compares the adapter
    renderer = session.adapter.config.renderer
    saved = bundle.Bundle(
        item.scene.image, traces, settings, asked.answer, boxes, note, renderer=renderer,
        provenance=bundle.provenance(None, **made),
    )  # fmt: skip
    bundle.write(path, saved)


def main() -> None:
    """Parses the command line and runs the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="assets/demo-vlm")
    parser.add_argument("--adapter", default="assets/demo-vif")
    parser.add_argument("--output", type=Path, default=Path("assets/examples"))
    args = parser.parse_args()
    session = load(args.model, args.adapter)
    examples = pick(session, print)
    write(session, examples, args.output)
    print(f"{len(examples)} examples in {args.output}")
    if len(examples) < len(KINDS):
        sys.exit("Not every kind has an example: the page and its lessons would lack it.")


if __name__ == "__main__":
    main()
