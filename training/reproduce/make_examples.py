"""Picks the page's examples, and records their answers so that the page needs no model for them.

    python -m training.reproduce.make_examples

Successes, failures, and questions whose answer VIF changes. Run it again after either the bundled
model or its adapter has changed; a test asks every example again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vif import bench, bundle, load
from vif.inputs.boxes import as_box
from vif.probes import attenuation_ladder
from vif.scenes import RELATIONAL, is_correct, unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.session import Session

NUM_QUESTIONS = 400
LONG_TEXT = 192


@dataclass(frozen=True)
class Kind:
    """A sort of example.

    Attributes:
        label: What happened, in a few words.
        note: What a person should see in it.
        text: Tokens of unrelated text before the question.
        plain: Whether the plain model is right.
        vif: Whether VIF is right.
        families: Question families to take it from, in order of preference; any if empty.
        steady: Whether text must make it ever harder for the plain model; of those that it does,
            the question is taken at which VIF helps most over all lengths.
    """

    label: str
    note: str
    text: int
    plain: bool
    vif: bool
    families: tuple[str, ...] = ()
    steady: bool = False


KINDS = (
    Kind("Fixed by VIF",
         "VIF mends the answer: it points at the neighbour, not at the object that is named.",
         0, False, True, RELATIONAL, steady=True),
    Kind("Not needed",
         "Both are right: the object is named directly, the model reads it without help.",
         0, True, True, ("glyph", "colour", "shape")),
    Kind("Lost in text",
         "After a long unrelated text the plain model loses the picture; VIF brings it back.",
         LONG_TEXT, False, True, steady=True),
    Kind("Fixed again", "Another relation that VIF mends.",
         0, False, True, ("above", "right", "below", "left")),
    Kind("Still wrong", "Both are wrong: look where the mixture lies.",
         0, False, False, ("counting", "neighbour-cell", "odd", "nearest")),
    Kind("Broken by VIF", "VIF breaks a right answer: steering can hurt.", 0, True, False),
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
        fitting.sort(key=lambda pair: _rank(kind, pair[0]))
        item, answers = fitting[0]
        if kind.steady:
            item, answers = _steadiest(session, fitting, log)
        used.add(item.scene.seed)
        chosen.append({"item": item, "kind": kind, **answers})
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


def _steadiest(
    session: Session, fitting: list[tuple[bench.Item, dict]], log: Callable[[str], None]
) -> tuple[bench.Item, dict]:
    """The question whose answer VIF makes most likelier, where plain only falls with the text."""
    best, most = fitting[0], None
    for item, answers in fitting:
        plain = attenuation_ladder(session, item.asked, ["plain"])
        # Where text is said to have lost the answer, it must be there without text.
        was_there = plain.said[0][0] == item.question.answer
        if not plain.falls("plain") or (item.context and not was_there):
            continue
        gain = attenuation_ladder(session, item.asked, ["vif"]).probability - plain.probability
        if most is None or gain.mean() > most:
            best, most = (item, answers), gain.mean()
    if most is None:
        log(f"plain rises with the text at each of {len(fitting)} questions")
    return best


def _answers(
    session: Session, items: list[bench.Item]
) -> list[tuple[bench.Item, dict, tuple[bool, bool]]]:
    found = []
    for start in range(0, len(items), bench.BATCH_SIZE):
        part = items[start : start + bench.BATCH_SIZE]
        traces = session.ask_batch([item.asked for item in part], ["plain", "vif"])
        for item, plain, vif in zip(part, traces["plain"], traces["vif"], strict=True):
            right = tuple(is_correct(t.answer, item.question.answer) for t in (plain, vif))
            found.append((item, {"plain": plain.answer, "vif": vif.answer}, right))
    return found


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
        record(session, item, kind.note, folder / f"{name}.zip")
        listing.append(
            {
                "image": f"{name}.png",
                "recorded": f"{name}.zip",
                "label": kind.label,
                "question": item.question.text,
                "truth": item.question.answer,
                "boxes": _boxes(item),
                "note": kind.note,
                "text": kind.text,
                **{key: example[key] for key in ("plain", "vif")},
            }
        )
    (folder / "examples.json").write_text(json.dumps(listing, indent=1) + "\n")


def record(session: Session, item: bench.Item, note: str, path: Path) -> None:
    """Asks an example alone, as the page does, and saves the answers."""
    asked, settings = item.question, session.defaults
    traces = session.ask(item.asked, settings=settings)
    boxes = tuple(map(as_box, _boxes(item)))
    made = {"model": session.name, "adapter": traces["vif"].meta["adapter"]}
    assert session.adapter is not None  # what is recorded compares the adapter
    renderer = session.adapter.config.renderer
    saved = bundle.Bundle(
        item.scene.image, traces, settings, asked.answer, boxes, note, renderer=renderer,
        provenance=bundle.provenance(None, **made),
    )  # fmt: skip
    bundle.write(path, saved)


def _boxes(item: bench.Item) -> list[list[float]]:
    return [[round(side, 4) for side in box] for box in item.boxes]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="assets/demo-vlm")
    parser.add_argument("--adapter", default="assets/demo-vif")
    parser.add_argument("--output", type=Path, default=Path("assets/examples"))
    args = parser.parse_args()
    session = load(args.model, args.adapter)
    examples = pick(session, print)
    write(session, examples, args.output)
    print(f"{len(examples)} examples in {args.output}")


if __name__ == "__main__":
    main()
