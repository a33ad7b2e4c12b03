"""The sample of a data set's questions that is asked, and a checksum that identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vif.data.example import DataSet, Example


def sample(data: DataSet, number: int, seed: int = 0) -> DataSet:
    """At most so many questions, drawn without repetition, in the order of the source.

    Files are often sorted, so the first ones would stand for only a part of them.
    """
    if len(data.examples) <= number:
        return data
    drawn = np.random.default_rng([seed, 5]).choice(len(data.examples), number, replace=False)
    return replace(data, examples=[data.examples[i] for i in sorted(drawn)])


def checksum(examples: Sequence[Example]) -> str:
    """SHA-256 over the questions with all that is known about them, and the bytes of image files.

    Images that are no files (scenes, data sets from the Hub) count by their names.
    """
    digest = hashlib.sha256()
    for example in examples:
        known = (
            example.question, example.context, example.answers, example.boxes, example.choices,
            example.source,
        )  # fmt: skip
        digest.update(json.dumps(known).encode())
        if isinstance(example.image, str | Path) and Path(example.image).is_file():
            digest.update(hashlib.sha256(Path(example.image).read_bytes()).digest())
    return digest.hexdigest()
