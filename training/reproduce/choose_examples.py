"""Selects the examples of the page among questions of the test split.

Of each kind the first candidate, best candidates first, for which the lessons about it hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vif import bench, metrics
from vif.inputs.boxes import Box
from vif.probes import Ladder, attenuation_ladder
from vif.scenes import RELATIONAL, is_correct, unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.session import Session
from vif.trace import Trace
from vif.ui.lessons import STEPS, Classroom, reveal
from vif.ui.state.examples import PageExample
from vif.ui.state.form import Truth

NUM_QUESTIONS = 400
SEEDS = (99, 100, 101, 102, 103)
MOST_TRIED = 8  # candidates of a kind and seed that the lessons are tried with
LONG_TEXT = 192
CLEAR = 0.7  # share of a map in the true box that leaves no doubt where it points
LEAST_GAIN = 0.1  # of the right answer's probability, mean over the lengths of text


@dataclass(frozen=True)
class ExampleKind:
    """A kind of example that the page shows, and how it is found.

    Attributes:
        label: What happened, in a few words.
        note: What a person should see in it.
        text: Tokens of unrelated text before the question.
        plain: Whether the plain model is right.
        vif: Whether VIF is right.
        families: Question families to take it from, in order of preference; any if empty.
        steady: Whether text must only take from the plain model and VIF give back, see
            `gives_back`; the question comes first at which VIF helps most over all lengths.
        in_box: Least share of VIF's map in the true boxes, in [0, 1], so that the picture shows
            what the note says.
    """

    label: str
    note: str
    text: int
    plain: bool
    vif: bool
    families: tuple[str, ...] = ()
    steady: bool = False
    in_box: float = 0.0


@dataclass(frozen=True)
class AnsweredItem:
    """A question, the answers of plain and VIF, and whether each is right.

    Attributes:
        item: The question.
        plain: The answer of plain.
        vif: The answer of VIF.
        right: Whether plain and VIF are right.
        in_box: Share of VIF's map in the true boxes, in [0, 1]; 0 without boxes.
    """

    item: bench.BenchItem
    plain: str
    vif: str
    right: tuple[bool, bool]
    in_box: float


KINDS = (
    ExampleKind("Fixed by VIF",
         "VIF fixes the answer: it points at the neighbour, not at the object that is named.",
         0, False, True, RELATIONAL, steady=True, in_box=CLEAR),
    ExampleKind("Not needed",
         "Both are right: the object is named directly, the model reads it without help.",
         0, True, True, ("glyph", "colour", "shape")),
    ExampleKind("Lost in text",
         "After a long unrelated text the plain model gets it wrong; with VIF it is right again.",
         LONG_TEXT, False, True, steady=True),
    ExampleKind("Fixed again", "VIF fixes another question about a neighbour.",
         0, False, True, ("above", "right", "below", "left"), in_box=CLEAR),
    ExampleKind("Still wrong", "Both are wrong: look where the mixture lies.",
         0, False, False, ("counting", "neighbour-cell", "odd", "nearest")),
    ExampleKind("Broken by VIF", "VIF breaks a right answer: steering can hurt.", 0, True, False),
)  # fmt: skip


def pick(session: Session, log: Callable[[str], None], number: int = NUM_QUESTIONS) -> list[dict]:
    """Chooses one example per kind, for which everything that the lessons say holds.

    A kind that the questions of one seed do not hold is looked for among those of the next.

    Args:
        session: The bundled model with its adapter.
        log: Told which kinds are missing, and why candidates were turned down.
        number: Questions per seed.
    """
    chosen: dict[str, dict] = {}
    used: set[int] = set()
    for seed in SEEDS:
        asked: dict[int, list[AnsweredItem]] = {}
        for kind in (kind for kind in KINDS if kind.label not in chosen):
            # Without text too: an answer lost in text must be right without it.
            for text in {0, kind.text} - asked.keys():
                asked[text] = _answers(session, _items(text, number, seed))
            found = _first(session, _candidates(session, kind, asked, used), kind, log)
            if found is not None:
                used.add(found["item"].scene.seed)
                chosen[kind.label] = found | {
                    "chosen_from": f"{number} test questions, seed {seed}"
                }
    for kind in KINDS:
        if kind.label not in chosen:
            log(f"no example in {number * len(SEEDS)} questions for: {kind.label}")
    return [chosen[kind.label] for kind in KINDS if kind.label in chosen]


def _items(text: int, number: int, seed: int) -> list[bench.BenchItem]:
    """Questions with the text that the page's slider puts before them."""
    context = unrelated_text(SHOWN_TEXT_SEED, text)
    items = bench.items("test", number, seed=seed, text=0)
    return [replace(item, context=context) for item in items]


def _candidates(
    session: Session, kind: ExampleKind, asked: dict[int, list[AnsweredItem]], used: set[int]
) -> list[AnsweredItem]:
    """Questions of a kind, the best first."""
    fitting = [
        one
        for one, before in zip(asked[kind.text], asked[0], strict=True)
        if one.right == (kind.plain, kind.vif)
        and one.in_box >= kind.in_box
        and one.item.scene.seed not in used
        and (not kind.families or one.item.question.family in kind.families)
        # Both are right where no text is in the way.
        and (not kind.text or before.right == (True, True))
    ]
    fitting.sort(key=lambda one: _rank(kind, one.item))
    if not kind.steady:
        return fitting
    ladders = [(attenuation_ladder(session, one.item.as_question), one) for one in fitting]
    gains = [(mean_gain(ladder), one) for ladder, one in ladders if restores_answer(ladder)]
    return [one for _, one in sorted(gains, key=lambda pair: -pair[0])]


def mean_gain(ladder: Ladder) -> float:
    """By how much VIF makes the right answer likelier, mean over the lengths of text."""
    plain, vif = ladder.probability
    return float(vif.mean() - plain.mean())


def restores_answer(ladder: Ladder) -> bool:
    """Whether text only hurts the plain model and VIF restores the answer and the attention.

    Args:
        ladder: Of plain and VIF, in this order.
    """
    plain, vif = ladder.share.mean(-1)
    return ladder.falls("plain") and mean_gain(ladder) > LEAST_GAIN and bool((vif > plain).all())


def _rank(kind: ExampleKind, item: bench.BenchItem) -> tuple[int, int]:
    family = item.question.family
    order = kind.families.index(family) if kind.families else 0
    # Scenes with many objects first: they make better pictures.
    return order, -len(item.scene.objects)


def _first(
    session: Session,
    candidates: Sequence[AnsweredItem],
    kind: ExampleKind,
    log: Callable[[str], None],
) -> dict | None:
    """The first candidate for which the lessons about its kind hold."""
    for one in candidates[:MOST_TRIED]:
        failed = [f"lesson {n}: {saw}" for n, saw in _lessons(session, kind, one.item)]
        if not failed:
            return {"item": one.item, "kind": kind, "plain": one.plain, "vif": one.vif}
        log(f"turned down for {kind.label}, {one.item.question.text!r}: {failed[0]}")
    return None


def _lessons(
    session: Session, kind: ExampleKind, item: bench.BenchItem
) -> Iterator[tuple[int, str]]:
    """Lessons that the example would break: their number, and what would be seen."""
    asked = item.question
    truth = Truth(asked.text, asked.answer, tuple(boxes_of(item)))
    example = PageExample(item.scene.image, asked.text, kind.note, kind.text, truth, kind.label)
    for step in STEPS:
        if step.example == kind.label:
            shown = reveal(step, Classroom(session, [example]))
            if not shown.holds:
                yield step.number, shown.saw


def _answers(session: Session, items: list[bench.BenchItem]) -> list[AnsweredItem]:
    found = []
    for start in range(0, len(items), bench.BATCH_SIZE):
        part = items[start : start + bench.BATCH_SIZE]
        traces = session.ask_batch([item.as_question for item in part], ["plain", "vif"])
        for item, plain, vif in zip(part, traces["plain"], traces["vif"], strict=True):
            first, second = (is_correct(t.answer, item.question.answer) for t in (plain, vif))
            in_box = _map_in_box(vif, item.boxes)
            found.append(AnsweredItem(item, plain.answer, vif.answer, (first, second), in_box))
    return found


def _map_in_box(trace: Trace, boxes: Sequence[Box]) -> float:
    """Share of the injected map, mean over layers, on tokens that true boxes touch."""
    if not boxes:
        return 0.0
    weights = np.mean([mixture.map for mixture in trace.mixtures], 0)
    return float(weights[metrics.box_coverage(trace.cells, boxes) > 0].sum())


def boxes_of(item: bench.BenchItem) -> list[Box]:
    """The true boxes of a question, with as many digits as are written to files."""
    return [(round(a, 4), round(b, 4), round(c, 4), round(d, 4)) for a, b, c, d in item.boxes]
