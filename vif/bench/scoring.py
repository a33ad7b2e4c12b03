"""Whether an answer is right, by the rules of the field. Strings in, a score in [0, 1] out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vif.data import Example
from vif.errors import InputError

AUTO, EXACT, VQA, CHOICE, IOU = "auto", "exact", "vqa", "choice", "iou"
SCORES = (AUTO, EXACT, VQA, CHOICE, IOU)
# VQAv2 gives an answer full marks if so many of its ten people gave it.
_AGREE = 3
_NUMBERS = (
    ["none", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
    ["0", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"],
)
_WORDS = dict(zip(*_NUMBERS, strict=True))
_ARTICLES = {"a", "an", "the"}


def rule_of(example: Example) -> str:
    """Which rule fits: the letter of a choice, agreement with several people, a box, or equality.

    Raises:
        InputError: If nothing is known about the answer.
    """
    if example.choices and example.answers:
        return CHOICE
    if len(example.answers) >= _AGREE:
        return VQA
    if example.answers:
        return EXACT
    if example.boxes:
        return IOU
    raise InputError("it has no answer to compare with")


def check_rule(rule: str, example: Example) -> None:
    """Raises `InputError` if an example lacks what a rule compares with."""
    needs = {EXACT: example.answers, VQA: example.answers, IOU: example.boxes,
             CHOICE: example.choices and example.answers}  # fmt: skip
    if not needs[rule]:
        missing = {IOU: "box", CHOICE: "choices with an answer"}.get(rule, "answer")
        raise InputError(f"it has no {missing} to be scored by {rule!r}")


def exact(answer: str, answers: Sequence[str]) -> float:
    """1 if the answer is one of the right ones but for case, spaces and a final full stop."""
    return float(_plain(answer) in {_plain(right) for right in answers})


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(". ")


def vqa_soft(answer: str, answers: Sequence[str]) -> float:
    """VQAv2's accuracy: min(1, people who gave this answer / 3).

    As in the official evaluation it is the mean over all ways to leave one person out, after
    case, articles, number words and punctuation are evened out. With fewer than ten people the
    limit stays 3; with one it is equality. Apostrophes are dropped where the official code restores
    missing ones ("dont"), which differs only for words that are told apart by them.
    """
    given = [_even(right) for right in answers]
    said = _even(answer)
    if len(given) == 1:
        return float(said == given[0])
    total = sum(right == said for right in given)
    # Left out is one of those who agree, or one of the others.
    shares = [min(1.0, (total - (right == said)) / _AGREE) for right in given]
    return sum(shares) / len(shares)


def _even(text: str) -> str:
    text = text.lower().replace("\n", " ").replace("\t", " ").replace("'", "")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(?<!\d)\.(?!\d)|[^\w\s.:]", " ", text)
    words = [_WORDS.get(word, word) for word in text.split()]
    return " ".join(word for word in words if word not in _ARTICLES).rstrip(". ")


def choice(answer: str, choices: Sequence[str], answers: Sequence[str]) -> float:
    """1 if the answer names a right choice, by its letter or its text."""
    named = chosen(answer, choices)
    return float(named is not None and choices[named] in answers)


def chosen(answer: str, choices: Sequence[str]) -> int | None:
    """The choice that an answer names: its text, or a letter such as ``B``, ``(b)`` or ``B. red``.

    A letter counts at the beginning, or after the words "answer is". None if it names none.
    """
    plain = [_plain(text) for text in choices]
    if _plain(answer) in plain:
        return plain.index(_plain(answer))
    found = re.match(r"\s*\(?([A-Za-z])\)?(?:[.:,)]|\s*$)", answer) or re.search(
        r"\b(?:answer|option) is:?\s*\(?([A-Za-z])\b", answer, re.IGNORECASE
    )
    if found is None:
        return None
    index = ord(found[1].upper()) - ord("A")
    return index if index < len(choices) else None


def score(rule: str, answer: str, example: Example) -> float:
    """How right an answer in words is, in [0, 1].

    Args:
        rule: One of `SCORES` but `AUTO` and `IOU`.
        answer: What was said.
        example: What is right.
    """
    if rule == CHOICE:
        return choice(answer, example.choices, example.answers)
    return {EXACT: exact, VQA: vqa_soft}[rule](answer, example.answers)
