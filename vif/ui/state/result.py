"""The answers of one run, with their picture and form. Independent of Gradio and HTML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from vif import metrics
from vif.draw import render
from vif.errors import InputError
from vif.model.families.layout import WHOLE
from vif.trace import Mixture, Trace
from vif.ui.state.form import Form, HasTruth, Truth
from vif.ui.state.sinks import sink_tokens

MAP_SIDE = 420
# Name of the answer to a changed mixture.
CHANGED = "changed"


@dataclass(frozen=True, eq=False)
class Result(HasTruth):
    """The answers of one run with the picture and the form that they belong to.

    Attributes:
        picture: The picture, longer side `MAP_SIDE`, (H, W, 3) uint8.
        traces: One trace per answer, in the order they are shown.
        truth: The known answer, where there is one.
        form: What was filled in, to ask again about the same.
        renderer: How the model's adapter turns a mixture into a map.
        text_tokens: Length of the text before the question.
        source: Where the answers come from if they were not just asked for; plain text.
        note: What to know before believing the answers; plain text.
        remark: What to look for; plain text.
    """

    picture: np.ndarray
    traces: dict[str, Trace]
    truth: Truth | None = None
    form: Form | None = None
    renderer: str = "density"
    text_tokens: int = 0
    source: str = ""
    note: str = ""
    remark: str = ""

    @classmethod
    def of(cls, image: Image.Image, traces: dict[str, Trace], *rest: Any, **more: Any) -> Result:
        """Makes a result from a full-size picture; the rest is as in the constructor."""
        return cls(render.shrink(image, MAP_SIDE), traces, *rest, **more)

    def with_answer(self, name: str, trace: Trace) -> Result:
        """Returns the result with one more answer; it replaces an earlier one of that name."""
        return replace(self, traces={**self.traces, name: replace(trace, method=name)})

    @property
    def filled(self) -> Form:
        """The form that was asked.

        Raises:
            ValueError: If it is not.
        """
        if self.form is None:
            raise ValueError("The form of this result is unknown.")
        return self.form

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

    def check_answered_by(self, model: str) -> None:
        """Raises `InputError` unless this model gave the answers; a zip may hold another's."""
        answered = self.first.meta.get("model", model)
        if answered != model:
            raise InputError(
                f"These answers are those of {answered!r}, but this page asks {model!r}: "
                "press Run first."
            )

    def renderer_of(self, name: str) -> str:
        """How an answer's mixture was rendered as a map; without an adapter always by density."""
        return "density" if name == "vif-free" else self.renderer

    def truth_coverage(self, name: str) -> np.ndarray | None:
        """Share of each token's cell that lies in the true place, (N,); None if unknown."""
        if self.truth is None or not self.truth.boxes:
            return None
        return metrics.box_coverage(self.traces[name].cells, self.truth.boxes)

    def sinks(self, name: str, token: int) -> np.ndarray:
        """Which image tokens are sinks of the model for a generated token, (N,) bool.

        They are those of the baseline: a place that another answer was steered to is none. An
        answer that read other tokens, those of a crop, is tested itself.
        """
        own, trace = self.traces[name], self.traces[self.baseline]
        is_same = np.array_equal(own.cells, trace.cells, equal_nan=True)
        trace = trace if is_same else own
        return sink_tokens(trace, min(token, len(trace.tokens) - 1))

    def reads_part(self, name: str) -> bool:
        """Whether an answer comes from a part of the picture, see `vif.methods.crops`."""
        return tuple(self.traces[name].meta.get("notes", {}).get("box", WHOLE)) != WHOLE

    def has_maps(self, token: int, head: int | str) -> bool:
        """Whether any answer has that token, and the model that head: a number, mean or max."""
        longest = max(len(trace.tokens) for trace in self.traces.values())
        is_head = head in ("mean", "max") if isinstance(head, str) else head < self.first.num_heads
        return token < longest and is_head

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
