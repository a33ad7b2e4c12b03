"""Picks the page's examples: successes, failures, and questions whose answer VIF changes.

python -m training.reproduce.make_examples --output assets/examples
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vif import bench, load
from vif.scenes import is_correct, unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.session import Session

NUM_QUESTIONS = 400
LONG_TEXT = 192


@dataclass(frozen=True)
class Kind:
    """A sort of example.

    Attributes:
        note: What a person should see in it.
        text: Tokens of unrelated text before the question.
        plain: Whether the plain model is right.
        vif: Whether VIF is right.
        families: Question families to take it from, in order of preference; any if empty.
    """

    note: str
    text: int
    plain: bool
    vif: bool
    families: tuple[str, ...] = ()


RELATIONS = ("nearest", "left", "above", "right", "below")
KINDS = (
    Kind("VIF mends the answer: it points at the neighbour, not at the object that is named.",
         0, False, True, RELATIONS),
    Kind("Both are right: the object is named directly, the model reads it without help.",
         0, True, True, ("glyph", "colour", "shape")),
    Kind("After a long unrelated text the plain model loses the picture; VIF brings it back.",
         LONG_TEXT, False, True, ("shape", "colour", "glyph")),
    Kind("Another relation that VIF mends.", 0, False, True, ("above", "right", "below", "left")),
    Kind("Both are wrong: look where the mixture lies.", 0, False, False,
         ("counting", "neighbour-cell", "odd", "nearest")),
    Kind("VIF breaks a right answer: steering can hurt.", 0, True, False),
)  # fmt: skip


def pick(session: Session, log: Callable[[str], None], number: int = NUM_QUESTIONS) -> list[dict]:
    """One example per kind, as far as the first test questions hold one; nothing is invented."""
    texts = {kind.text for kind in KINDS}
    asked = {text: _answers(session, _items(text, number)) for text in texts}
    chosen, used = [], set()
    for kind in KINDS:
        fitting = [
            (item, answers)
            for item, answers, right in asked[kind.text]
            if right == (kind.plain, kind.vif)
            and item.scene.seed not in used
            and (not kind.families or item.question.family in kind.families)
        ]
        if not fitting:
            log(f"no example for: {kind.note}")
            continue
        item, answers = min(fitting, key=lambda pair: _rank(kind, pair[0]))
        used.add(item.scene.seed)
        chosen.append({"item": item, "note": kind.note, "text": kind.text, **answers})
    return chosen


def _items(text: int, number: int) -> list[bench.Item]:
    """Questions with the text that the page's slider puts before them."""
    context = unrelated_text(SHOWN_TEXT_SEED, text)
    items = bench.items("test", number, seed=99, text=0)
    return [replace(item, context=context) for item in items]


def _rank(kind: Kind, item: bench.Item) -> tuple[int, int]:
    family = item.question.family
    order = kind.families.index(family) if kind.families else 0
    # A full scene is a better picture than an empty one.
    return order, -len(item.scene.objects)


def _answers(
    session: Session, items: list[bench.Item]
) -> list[tuple[bench.Item, dict, tuple[bool, bool]]]:
    found = []
    for start in range(0, len(items), bench.BATCH_SIZE):
        part = items[start : start + bench.BATCH_SIZE]
        asked = [(i.scene.image, i.question.text, i.context, None) for i in part]
        traces = session.ask_batch(asked, ["plain", "vif"])
        for item, plain, vif in zip(part, traces["plain"], traces["vif"], strict=True):
            right = tuple(is_correct(t.answer, item.question.answer) for t in (plain, vif))
            found.append((item, {"plain": plain.answer, "vif": vif.answer}, right))
    return found


def write(examples: list[dict], folder: Path) -> None:
    """Writes the pictures and ``examples.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    listing = []
    for number, example in enumerate(examples, 1):
        item = example["item"]
        name = f"scene-{number}.png"
        item.scene.image.save(folder / name)
        listing.append(
            {
                "image": name,
                "question": item.question.text,
                "truth": item.question.answer,
                "boxes": [[round(v, 4) for v in box] for box in item.boxes],
                **{key: example[key] for key in ("note", "text", "plain", "vif")},
            }
        )
    (folder / "examples.json").write_text(json.dumps(listing, indent=1) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="assets/demo-vlm")
    parser.add_argument("--adapter", default="assets/demo-vif")
    parser.add_argument("--output", type=Path, default=Path("assets/examples"))
    args = parser.parse_args()
    examples = pick(load(args.model, args.adapter), print)
    write(examples, args.output)
    print(f"{len(examples)} examples in {args.output}")


if __name__ == "__main__":
    main()
