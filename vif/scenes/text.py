"""Unrelated text to put before a question: it attenuates attention on the image."""

from __future__ import annotations

import re

import numpy as np

from vif.scenes.world import COLOURS, SHAPES

TEXT_LENGTHS = (0, 32, 64, 128, 256, 384)
SHOWN_TEXT_SEED = 1  # of the text that the page and its examples put before a question
_WORD = re.compile(r"\w+|[^\w\s]")
_SENTENCES = (
    "In another picture the {colour} {shape} is left of the {colour} {shape}.",
    "Earlier someone asked about a {colour} {shape} and the answer was {colour}.",
    "Note {digit}: the last picture had {digit} {shape}s and one {colour} {shape}.",
    "The walk to the harbour was long and the evening was quiet.",
    "An older picture showed a {colour} {shape} next to a {colour} {shape}.",
    "Please remember to water the plants before the weekend.",
    "The meeting starts at {digit} and the tea is already cold.",
    "There it was a {shape}, not a {shape}, and its colour was {colour}.",
    "My friend prefers {colour} and always draws a {shape} first.",
    "The train was late again, so we read the old notes twice.",
)


def unrelated_text(seed: int, num_tokens: int) -> str:
    """Text of earlier turns and notes that is unrelated to the picture.

    Args:
        seed: Seed of the draw.
        num_tokens: Exact length in words and punctuation marks (what the bundled model's
            tokenizer counts), >= 0.

    Returns:
        The text, cut at the front so that it ends with a whole sentence; empty for 0.
    """
    rng = np.random.default_rng([seed, 11])
    words: list[str] = []
    while len(words) < num_tokens:
        words = _WORD.findall(_sentence(rng)) + words
    return join_words(words[len(words) - num_tokens :])


def join_words(words: list[str]) -> str:
    """Words and punctuation marks as running text."""
    return re.sub(r" ([.,:?])", r"\1", " ".join(words))


def all_sentences() -> tuple[str, ...]:
    """Every sentence pattern, for building a vocabulary."""
    return _SENTENCES


def _sentence(rng: np.random.Generator) -> str:
    blanks = {
        "colour": lambda: tuple(COLOURS)[rng.integers(len(COLOURS))],
        "shape": lambda: SHAPES[rng.integers(len(SHAPES))],
        "digit": lambda: str(rng.integers(2, 10)),
    }
    pattern = _SENTENCES[rng.integers(len(_SENTENCES))]
    sentence = re.sub(r"\{(\w+)\}", lambda match: blanks[match[1]](), pattern)
    return sentence.replace(" a orange", " an orange")
