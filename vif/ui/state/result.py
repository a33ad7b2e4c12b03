"""What one browser tab holds between two clicks. Knows nothing about Gradio or HTML."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from vif import metrics
from vif.draw import render
from vif.model.families.layout import WHOLE
from vif.trace import Mixture, Trace
from vif.ui.state.form import Form, Truth
from vif.ui.state.sinks import sink_tokens

MAP_SIDE = 420
THUMB_SIDE = 120
# Maps as they are, with their sinks marked or taken out, or as differences from the baseline.
SHOWS = ("raw", "marked", "removed", "difference")


@dataclass(frozen=True, eq=False)
class Result:
    """The answers of one run, and the picture they are about.

    Attributes:
        picture: The picture, longer side `MAP_SIDE`, (H, W, 3) uint8.
        thumb: The same, longer side `THUMB_SIDE`.
        traces: One trace per answer, in the order they are shown.
        truth: The known answer, where there is one.
        form: What was filled in, to ask again about the same.
        renderer: How the model's adapter turns a mixture into a map.
    """

    picture: np.ndarray
    thumb: np.ndarray
    traces: dict[str, Trace]
    truth: Truth | None = None
    form: Form | None = None
    renderer: str = "density"

    @classmethod
    def of(cls, image: Image.Image, traces: dict[str, Trace], *rest: Any) -> Result:
        """Makes a result from a full-size picture; `rest` is as in the constructor."""
        return cls(render.fit(image, MAP_SIDE), render.fit(image, THUMB_SIDE), traces, *rest)

    def beside(self, name: str, trace: Trace) -> Result:
        """Returns the result with one answer more; it replaces an earlier one of that name."""
        return replace(self, traces={**self.traces, name: replace(trace, method=name)})

    @property
    def first(self) -> Trace:
        """Any trace, for what they all share: layers, heads, cells and settings."""
        return next(iter(self.traces.values()))

    @property
    def baseline(self) -> str:
        """Name of the answer that others are compared with: plain, else the first."""
        return "plain" if "plain" in self.traces else next(iter(self.traces))

    @property
    def others(self) -> list[str]:
        """Names of the answers that are compared with the baseline."""
        return [name for name in self.traces if name != self.baseline]

    @property
    def injecting(self) -> dict[str, list[Mixture]]:
        """What was injected, by layer, for each answer that something was injected into."""
        return {name: t.mixtures for name, t in self.traces.items() if t.mixtures}

    def renderer_of(self, name: str) -> str:
        """How an answer's mixture was turned into a map: without an adapter always one way."""
        return "density" if name == "vif-free" else self.renderer

    def asked(self, name: str) -> np.ndarray | None:
        """Which share of each token's cell lies on what was asked about, (N,); None if unknown."""
        if self.truth is None or not self.truth.boxes:
            return None
        return metrics.box_coverage(self.traces[name].cells, self.truth.boxes)

    def sinks(self, name: str, view: View) -> np.ndarray:
        """Which image tokens are sinks of the model for the chosen token, (N,) bool.

        They are those of the baseline: a place that another answer was steered to is none. An
        answer that read other tokens, those of a crop, is tested itself.
        """
        own, trace = self.traces[name], self.traces[self.baseline]
        is_same = np.array_equal(own.cells, trace.cells, equal_nan=True)
        trace = trace if is_same else own
        return sink_tokens(trace, view.token_of(trace))

    def reads_part(self, name: str) -> bool:
        """Whether an answer comes from a look at a part of the picture, see `vif.methods.crops`."""
        return tuple(self.traces[name].meta.get("notes", {}).get("box", WHOLE)) != WHOLE

    @property
    def has_tiles(self) -> bool:
        """Whether the image was also read in parts."""
        return bool(self.first.blocks.max() > 0)

    def divergence(self, name: str) -> int | None:
        """Index of the first token in which an answer differs; None if it does not.

        Args:
            name: The answer to compare with the baseline; for the baseline itself, the earliest
                difference of any other.
        """
        if name == self.baseline:
            found = [self.divergence(other) for other in self.others]
            return min((at for at in found if at is not None), default=None)
        base, other = self.traces[self.baseline].tokens, self.traces[name].tokens
        for index, (a, b) in enumerate(zip(base, other, strict=False)):
            if a != b:
                return index
        return None if len(base) == len(other) else min(len(base), len(other))


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
        show: One of `SHOWS`.
    """

    token: int = 0
    layer: int | None = None
    head: int | str = "mean"
    normalised: bool = False
    palette: str = "viridis"
    opacity: float = 0.6
    scale: str = "whole"
    show: str = "raw"

    def token_of(self, trace: Trace) -> int:
        """The token shown for an answer: the chosen one, or the last of a shorter answer."""
        return min(self.token, len(trace.tokens) - 1)

    def values(
        self, trace: Trace, layer: int | None, sinks: np.ndarray | None = None
    ) -> np.ndarray:
        """The map of one answer at one layer, (N,); `sinks` (N,) are 0 if they are taken out."""
        values = self.raw(trace, layer)
        if self.show == "removed" and sinks is not None:
            values = np.where(sinks, 0, values)
        return values / max(values.sum(), 1e-12) if self.normalised else values

    def raw(self, trace: Trace, layer: int | None) -> np.ndarray:
        """The map with its sinks as shares of the row, (N,)."""
        return render.pick_map(trace.rows, self.token_of(trace), layer, self.head)

    @property
    def adds_up(self) -> bool:
        """Whether the raw values of tokens add up to a share of the row; maxima do not."""
        return self.head != "max"

    @property
    def marks_sinks(self) -> bool:
        """Whether sinks are crossed out on the maps."""
        return self.show in ("marked", "removed")

    def is_drawn(self, trace: Trace) -> np.ndarray:
        """Which tokens belong to the chosen scale, (N,) bool."""
        return (self.scale == "all") | ((trace.blocks > 0) == (self.scale == "tiles"))

    def field(self, trace: Trace, values: np.ndarray, image: np.ndarray) -> np.ndarray:
        """One number per token on the pixels of a picture, (H, W); NaN where none lies."""
        return render.paint_scale(values, trace.cells, trace.blocks, self.scale, image.shape[:2])


@dataclass(frozen=True)
class MixtureView:
    """How a mixture is shown.

    Attributes:
        method: Whose mixture; the first answer's with one if this has none.
        index: Which injection layer, as a position in the trace's list.
        shown: Number of components drawn, the strongest first.
        chosen: The component that is highlighted, as a rank, or None.
    """

    method: str = ""
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
        asked = {name: result.asked(name) for name in result.traces}
        return cls(
            {name: metrics.image_share(trace, tokens[name]) for name, trace in items},
            {name: metrics.visual_entropy(trace, tokens[name]) for name, trace in items},
            {
                name: metrics.in_box_mass(trace, asked[name], tokens[name])
                for name, trace in items
                if asked[name] is not None
            },
        )
