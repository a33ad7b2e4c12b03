"""What one browser tab holds between two clicks. Knows nothing about Gradio or HTML."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from vif import metrics, render
from vif.trace import Mixture, Trace

MAP_SIDE = 420
THUMB_SIDE = 120


@dataclass(frozen=True, eq=False)
class Truth:
    """The known answer to a question about a drawn scene.

    Attributes:
        question: The question it belongs to.
        answer: The right answer.
        boxes: Where the asked objects are (x0, y0, x1, y1), in [0, 1] image coordinates.
    """

    question: str
    answer: str
    boxes: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Result:
    """The answers of one run, and the picture they are about.

    Attributes:
        picture: The picture, longer side `MAP_SIDE`, (H, W, 3) uint8.
        thumb: The same, longer side `THUMB_SIDE`.
        traces: One trace per method, plain first.
        truth: The known answer, where there is one.
    """

    picture: np.ndarray
    thumb: np.ndarray
    traces: dict[str, Trace]
    truth: Truth | None = None

    @classmethod
    def of(cls, image: Image.Image, traces: dict[str, Trace], truth: Truth | None) -> Result:
        """Makes a result from a full-size picture."""
        return cls(render.fit(image, MAP_SIDE), render.fit(image, THUMB_SIDE), traces, truth)

    @property
    def first(self) -> Trace:
        """Any trace, for what they all share: layers, heads, cells and settings."""
        return next(iter(self.traces.values()))

    @property
    def steered(self) -> Trace | None:
        """The trace compared with plain, if there is one."""
        others = [trace for name, trace in self.traces.items() if name != "plain"]
        return others[0] if others and "plain" in self.traces else None

    @property
    def mixtures(self) -> list[Mixture]:
        """What was injected, by layer."""
        return next((t.mixtures for t in self.traces.values() if t.mixtures), [])

    @property
    def asked(self) -> np.ndarray | None:
        """Which share of each token's cell lies on what was asked about, (N,); None if unknown."""
        if self.truth is None or not self.truth.boxes:
            return None
        return coverage(self.first.cells, self.truth.boxes)

    @property
    def has_tiles(self) -> bool:
        """Whether the image was also read in parts."""
        return bool(self.first.blocks.max() > 0)

    def divergence(self) -> int | None:
        """Index of the first token in which the two answers differ; None if they are equal."""
        if self.steered is None:
            return None
        plain, other = self.traces["plain"].tokens, self.steered.tokens
        for index, (a, b) in enumerate(zip(plain, other, strict=False)):
            if a != b:
                return index
        return None if len(plain) == len(other) else min(len(plain), len(other))


@dataclass(frozen=True)
class View:
    """How a result is shown; changing it never runs the model.

    Attributes:
        token: Answer token, 0-based.
        layer: Decoder layer, 0-based, or None for the mean of all.
        head: Head, 0-based, or ``"mean"`` / ``"max"``.
        normalised: Show where only: the map of each answer sums to 1.
        palette: A key of `render.PALETTES`.
        opacity: Opacity of the map, in [0, 1].
        scale: One of `render.SCALES`: the look at the whole image, its parts, or both added.
    """

    token: int = 0
    layer: int | None = None
    head: int | str = "mean"
    normalised: bool = False
    palette: str = "viridis"
    opacity: float = 0.6
    scale: str = "whole"

    def token_of(self, trace: Trace) -> int:
        """The token shown for an answer: the chosen one, or the last of a shorter answer."""
        return min(self.token, len(trace.tokens) - 1)

    def values(self, trace: Trace, layer: int | None) -> np.ndarray:
        """The map of one answer at one layer, (N,)."""
        return render.pick_map(
            trace.rows, self.token_of(trace), layer, self.head, normalise=self.normalised
        )

    def field(self, trace: Trace, values: np.ndarray, image: np.ndarray) -> np.ndarray:
        """One number per token on the pixels of a picture, (H, W); NaN where none lies."""
        return render.paint_scale(values, trace.cells, trace.blocks, self.scale, image.shape[:2])


@dataclass(frozen=True)
class MixtureView:
    """How a mixture is shown.

    Attributes:
        index: Which injection layer, as a position in the trace's list.
        shown: Number of components drawn, the strongest first.
        chosen: The component that is highlighted, as a rank, or None.
    """

    index: int = 0
    shown: int = 8
    chosen: int | None = None


@dataclass(frozen=True)
class Curves:
    """Numbers by layer for each method, each (L,)."""

    share: dict[str, np.ndarray] = field(default_factory=dict)
    entropy: dict[str, np.ndarray] = field(default_factory=dict)
    asked: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Result, view: View) -> Curves:
        """Measures every answer at the chosen token."""
        tokens = {name: view.token_of(trace) for name, trace in result.traces.items()}
        items = result.traces.items()
        asked = result.asked
        return cls(
            {name: metrics.image_share(trace, tokens[name]) for name, trace in items},
            {name: metrics.visual_entropy(trace, tokens[name]) for name, trace in items},
            {name: metrics.in_box_mass(trace, asked, tokens[name]) for name, trace in items}
            if asked is not None
            else {},
        )


def coverage(cells: np.ndarray, boxes: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
    """Returns the largest share of each cell that one of the boxes covers, (N,), in [0, 1].

    Args:
        cells: Rectangles (x0, y0, x1, y1), (N, 4); NaN rows are covered by nothing.
        boxes: Rectangles in the same coordinates.
    """
    # Off the image: a cell that no box reaches and whose area is not 0.
    cells = np.where(np.isnan(cells), [-2.0, -2.0, -1.0, -1.0], cells)[:, None]
    given = np.asarray(boxes, float).reshape(1, -1, 4)
    low = np.maximum(cells[..., :2], given[..., :2])
    high = np.minimum(cells[..., 2:], given[..., 2:])
    area = (cells[..., 2:] - cells[..., :2]).prod(-1)
    return ((high - low).clip(0).prod(-1) / area).max(1, initial=0)
