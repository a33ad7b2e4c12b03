"""Asks all questions of a data set by several methods, and records what is measured of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from PIL import Image

from vif.data import DataSet, Example
from vif.errors import InputError
from vif.inputs.boxes import Box
from vif.measure.records import RunRecords
from vif.question import Question
from vif.scenes import unrelated_text
from vif.session import Session
from vif.settings import Settings
from vif.trace import Trace

# With (questions done, questions in all, seconds left or None).
Forecast = Callable[[int, int, float | None], None]


@dataclass(frozen=True)
class LoadedExample:
    """A question with its image in memory.

    Attributes:
        key: (length of unrelated text, number of the example).
        example: The question as it was read.
        image: Its image, upright RGB.
        boxes: The truth in [0, 1] of the image, empty if it is not known.
        context: All unrelated text before the question.
    """

    key: tuple[int, int]
    example: Example
    image: Image.Image
    boxes: tuple[Box, ...]
    context: str


# From a question and a trace per method to what is recorded, as JSON values.
Measure = Callable[[LoadedExample, Mapping[str, Trace]], dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """A data set to ask, by which methods and under which settings.

    Attributes:
        session: Model and adapter.
        data: The questions.
        methods: Names.
        settings: For all of them.
        texts: Lengths of unrelated text in tokens that is put before every question in turn.
        batch_size: Questions that are asked at once, at most.
        word: What is asked of an example.
    """

    session: Session
    data: DataSet
    methods: Sequence[str]
    settings: Settings
    texts: Sequence[int] = (0,)
    batch_size: int = 8
    prompt_of: Callable[[Example], str] = attrgetter("prompt")
    _counts: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def chunks(self) -> list[tuple[int, range]]:
        """Pieces of work, (length of text, numbers of examples): the same for any processes."""
        number = len(self.data.examples)
        return [
            (text, range(start, min(start + self.batch_size, number)))
            for text in self.texts
            for start in range(0, number, self.batch_size)
        ]

    def num_tokens(self, image: Image.Image) -> int:
        """Number of an image's tokens, which depends on nothing but its size."""
        if image.size not in self._counts:
            self._counts[image.size] = len(self.session.backbone.encode(image, "?").image)
        return self._counts[image.size]


def ask_all(
    job: Job, measure: Measure, records: RunRecords, progress: Forecast | None = None
) -> None:
    """Asks what has not been recorded yet.

    A question that cannot be asked (a broken image, a box off the image, too long a text) is
    recorded as ``{"key", "name", "skipped": why}``, any other as ``{"key", "name", "source",
    "found"}``. The key is (length of unrelated text, number of the example).

    Args:
        job: What is asked.
        measure: What is recorded of an answer.
        records: Where it goes.
        progress: Called after every batch, for this process's share of the questions.

    Raises:
        InputError: If none of the first questions can be asked by some method, or the records
            cannot be written.
    """
    processes = records.processes
    todo = [chunk for i, chunk in enumerate(job.chunks()) if processes.mine(i)]
    if not records.done:
        _check_methods(job)
    total, done = sum(len(numbers) for _, numbers in todo), 0
    asked, started = 0, time.perf_counter()
    for text, numbers in todo:
        keys = [(text, number) for number in numbers]
        if not records.done.issuperset(keys):
            records.write([*_ask_chunk(job, keys, measure)])
            asked += len(keys)
        done += len(keys)
        if progress is not None:
            spent = time.perf_counter() - started
            progress(done, total, spent / asked * (total - done) if asked else None)


def _check_methods(job: Job) -> None:
    """Raises what a method says if it can answer none of the first three questions."""
    short = replace(job, settings=replace(job.settings, max_new_tokens=1))
    for method in job.methods:
        problems = []
        for number in range(min(3, len(job.data.examples))):
            try:
                _ask(replace(short, methods=[method]), [_open(job, (0, number))])
                break
            except InputError as error:
                problems.append(error)
        else:
            raise problems[-1]


def _open(job: Job, key: tuple[int, int]) -> LoadedExample:
    text, number = key
    example = job.data.examples[number]
    image, boxes = example.open()
    parts = (unrelated_text(number, text), example.context)
    return LoadedExample(key, example, image, boxes, " ".join(filter(None, parts)))


def _ask_chunk(
    job: Job, keys: Sequence[tuple[int, int]], measure: Measure
) -> Iterator[dict[str, Any]]:
    """Records of one piece of work, its images grouped by their number of tokens."""
    groups: dict[int, list[LoadedExample]] = {}
    for key in keys:
        try:
            ready = _open(job, key)
            groups.setdefault(job.num_tokens(ready.image), []).append(ready)
        except InputError as error:
            yield _skipped(job, key, error)
    for group in groups.values():
        yield from _ask_group(job, group, measure)


def _ask_group(job: Job, group: list[LoadedExample], measure: Measure) -> Iterator[dict[str, Any]]:
    try:
        found = _ask(job, group)
    except InputError as error:
        if len(group) == 1:
            yield _skipped(job, group[0].key, error)
            return
        # One bad question, or crops of several sizes: one by one all others can be asked.
        for one in group:
            yield from _ask_group(job, [one], measure)
        return
    for i, ready in enumerate(group):
        traces = {name: some[i] for name, some in found.items()}
        yield {
            "key": list(ready.key),
            "name": ready.example.name,
            "source": ready.example.source,
            "found": measure(ready, traces),
        }


def _ask(job: Job, group: Sequence[LoadedExample]) -> dict[str, list[Trace]]:
    asked = [Question(r.image, job.prompt_of(r.example), r.context, r.boxes) for r in group]
    return job.session.ask_batch(asked, job.methods, job.settings)


def _skipped(job: Job, key: tuple[int, int], error: InputError) -> dict[str, Any]:
    return {"key": list(key), "name": job.data.examples[key[1]].name, "skipped": str(error)}
