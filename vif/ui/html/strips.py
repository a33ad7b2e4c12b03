"""Rows of buttons and cells: examples, suggestions, layers."""

from __future__ import annotations

from collections.abc import Iterable

from vif.draw import render
from vif.ui.html.templates import fill
from vif.ui.state.examples import PageExample

_THUMB_SIDE = 88


def example_strip(examples: Iterable[PageExample]) -> str:
    """The examples as labelled buttons with a small picture each; a click runs."""
    thumbs = [
        (example, render.data_url(render.shrink(example.image, _THUMB_SIDE), 80))
        for example in examples
    ]
    return fill("examples", examples=thumbs)


def suggestion_strip(questions: list[str]) -> str:
    """Questions as buttons that fill the question box."""
    return fill("suggestions", questions=questions)


def plan_strip(
    num_layers: int,
    learning: tuple[float | None, float | None],
    injection: tuple[float | None, float | None],
    stride: float | None,
) -> str:
    """The decoder as a row of cells: which layers are read and which are steered."""
    reads, writes = (_layers(num_layers, b, stride) for b in (learning, injection))
    return fill("plan", layers=range(num_layers), reads=sorted(reads), writes=sorted(writes))


def _layers(
    num_layers: int, bounds: tuple[float | None, float | None], stride: float | None
) -> set[int]:
    """The model's layers in a range; none while a field is empty, broken or out of order."""
    low, high = bounds
    if low is None or high is None or stride is None or stride < 1:
        return set()
    if any(value != int(value) for value in (low, high, stride)):
        return set()
    # A number that is being typed may be far beyond the model's layers.
    return {i for i in range(num_layers) if low <= i <= high and (i - low) % stride == 0}
