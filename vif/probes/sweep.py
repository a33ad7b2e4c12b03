"""Every range of injection layers at once: what does injecting from layer to layer do to an answer?

The map is read in one plain pass, the image is read once, and all ranges are batch rows of short
passes over what follows it, with a strength per row in every layer: 0 outside the row's range.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vif import methods as registry
from vif.draw.tables import grid, span
from vif.errors import InputError
from vif.methods.vif import InjectingTap, MixingTap
from vif.model.attention import Tap
from vif.model.generation import open_stream
from vif.model.rows import Mix
from vif.probes.base import ProbeResult
from vif.probes.prefix import SharedPrompt
from vif.probes.protocol import Probe, ProbeCall, ProbeFlag, layers_named, register, signed
from vif.progress import Progress
from vif.question import Question
from vif.session import Session
from vif.settings import Range, Settings


@dataclass(frozen=True)
class Sweep(ProbeResult):
    """What every injection range does to the log-probability of an answer.

    Attributes:
        method: Whose map is injected.
        answer: The answer that is tracked.
        plain: Its log-probability without injection, natural log.
        change: Log-probability with injection into layers start to end, less `plain`,
            (L, L) by start and end; NaN where the end comes before the start, and for layers
            without attention.
        best: Start and end of the largest change.
        learning: The learning range; a range that starts at or before its end uses the map as it
            was read in the plain pass, which outside a sweep would cost a pass of its own.
    """

    method: str
    answer: str
    plain: float
    change: np.ndarray
    best: Range
    learning: Range


def sweep(
    session: Session,
    question: Question,
    *,
    method: str = "vif",
    answer: str | None = None,
    settings: Settings | None = None,
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Tracks an answer under every injection range.

    Args:
        session: The model.
        question: What is asked about which image.
        method: One that injects a map.
        answer: The answer to track; default: the model's own.
        settings: Learning range, stride, alpha, samples, phase; the injection range is ignored.
        cancel: Stops between two passes.
        progress: Called with (ranges done, ranges in all).

    Raises:
        InputError: If the method does not inject a map or lacks what it needs.
        Cancelled: If `cancel` was set.
    """
    layers = session.backbone.attention_layers
    last = layers[-1]
    # Every range is swept, so a valid one stands in for the settings' own.
    settings = session.checked(replace(settings or session.defaults, injection=(last, last)))
    session.check([method], settings)
    request = session.request([question], settings, cancel)
    reading = SharedPrompt(session.backbone, request.batch)
    sources = _sources(request, registry.find(method), session.num_layers)
    tracked = _tracked(reading, sources, answer)
    ranges = [(start, end) for start in layers for end in layers if start <= end]
    variants = [{}] + [_mixes(sources, settings, span) for span in ranges]
    steer_answer = settings.phase == "both"
    found = reading.logprobs(
        lambda part: _RangeTap(request, variants[part], None if steer_answer else reading.length),
        len(variants),
        tracked.ids[: tracked.length],
        split=not steer_answer,
        cancel=cancel,
        progress=progress,
    )
    plain, *steered = tracked.logprob(found.numpy())
    change = np.full((session.num_layers, session.num_layers), np.nan)
    change[tuple(zip(*ranges, strict=True))] = np.array(steered) - plain
    best = np.unravel_index(np.nanargmax(change), change.shape)
    return Sweep(
        method=method,
        answer=tracked.text,
        plain=float(plain),
        change=change,
        best=(int(best[0]), int(best[1])),
        learning=settings.learning,
    )


def _sources(
    request: registry.Request, method: registry.Method, num_layers: int
) -> dict[int | None, InjectingTap]:
    """Taps that make the maps: one per learning layer if the method tells them apart.

    None stands for a map that does not depend on the learning layer.
    """
    settings = replace(request.settings, injection=(0, num_layers - 1))
    options = method.resolve(settings.options.get(method.name, {}))

    def make(chosen: Settings) -> Any:
        return method.tap(replace(request, options=options, settings=chosen))

    tap = make(settings)
    if not isinstance(tap, InjectingTap):
        raise InputError(
            f"Method {method.name!r} injects no map, so there is no injection range to sweep: "
            "choose one that does, for example 'vif', 'vif-free' or 'uniform'."
        )
    if not isinstance(tap, MixingTap):
        return {None: tap}
    single = replace(settings, stride=1)
    learning = settings.learning_layers
    return {layer: make(replace(single, learning=(layer, layer))) for layer in learning}


@torch.no_grad()
def _tracked(
    reading: SharedPrompt, sources: dict[int | None, InjectingTap], answer: str | None
) -> Any:
    """Makes the maps in a plain pass, which finds the model's own answer too if it is wanted."""
    plain_pass = _PlainPass(list(sources.values()))
    tracked = reading.answer(answer, tap=plain_pass)
    if answer is not None:
        open_stream(reading.backbone.model, reading.batch.inputs).advance(plain_pass)
    return tracked


def _mixes(
    sources: dict[int | None, InjectingTap], settings: Settings, span: Range
) -> dict[int, Mix]:
    """What a range injects, layer by layer."""
    if (given := sources.get(None)) is not None:
        # Prepared for every stride-th layer, and the same in all of them.
        mix = next(iter(given.mixes.values()))
        return dict.fromkeys(replace(settings, injection=span).injection_layers, mix)
    origin = replace(settings, injection=span).sources()
    return {layer: sources[source].mixes[layer] for layer, source in origin.items()}


class _PlainPass(Tap):
    """Runs a plain pass for taps that compute maps; they change nothing."""

    def __init__(self, taps: list[InjectingTap]) -> None:
        self.taps = taps

    @override
    def begin(self, start: int, length: int) -> None:
        for tap in self.taps:
            tap.position = start
            tap.begin(start, length)

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        for tap in self.taps:
            tap.layer_output(layer, states)

    @override
    def wants(self, layer: int) -> bool:
        return self.position == 0 and any(tap.wants(layer) for tap in self.taps)

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        for tap in self.taps:
            tap.record(layer, row, first_key)


class _RangeTap(Tap):
    """One pass over ranges, one per batch row."""

    def __init__(
        self, request: registry.Request, variants: Sequence[dict[int, Mix]], stop: int | None
    ) -> None:
        self.request, self.variants, self.stop = request, variants, stop

    @override
    def mix(self, layer: int) -> Mix | None:
        """The rows whose range holds this layer, at their strength; the others at 0."""
        mixes = [variant.get(layer) for variant in self.variants]
        past = self.stop is not None and self.position >= self.stop
        known = next((mix for mix in mixes if mix is not None), None)
        if known is None or past:
            return None
        nothing = torch.zeros_like(known.strength)
        rows = len(mixes)
        return Mix(
            columns=known.columns.expand(rows, -1),
            map=torch.cat([(mix or known).map for mix in mixes]),
            strength=torch.cat([nothing if mix is None else mix.strength for mix in mixes]),
            first_row=known.first_row.expand(rows),
        )


@register
class SweepProbe(Probe[Sweep]):
    """Injects a map into every range of layers."""

    name = "sweep"
    label = "Layer ranges"
    does = "Injects a map into every range of layers; click a range to use it in the settings."
    needs_map = True
    needs_injection = True
    flags = (
        ProbeFlag(
            "answer", str, "answer to track; default: the right one if known, else the model's own"
        ),
    )

    @override
    def run(self, call: ProbeCall) -> Sweep:
        if not call.mapped.mixtures:
            raise InputError(
                f"{call.label} was not injected, so there is no range to sweep: choose an "
                "answer with an injected map, such as VIF's."
            )
        return sweep(
            call.session,
            call.question,
            method=call.method,
            answer=self.option(call, "answer") or call.question.answer or None,
            settings=call.settings,
            **call.shared,
        )

    @override
    def words(self, found: Sweep, call: ProbeCall) -> str:
        start, end = found.best
        return (
            f"Tracked: “{found.answer}”, probability {np.exp(found.plain):.1%} without "
            f"injection. Best: {layers_named(start, end)}, {signed(found.change[start, end])} "
            f"in log-probability.{best_to_set(found)}"
        )

    @override
    def table(self, found: Sweep, call: ProbeCall) -> str:
        layers = range(len(found.change))
        best = found.change[found.best]
        return "\n".join(
            [
                f"answer tracked: {found.answer!r}, log-probability {found.plain:.3f} without "
                "injection",
                f"change by injecting the map of {found.method!r} from layer (down) to layer "
                "(across):",
                grid(layers, layers, found.change, "+.3f", "from"),
                f"best: layers {span(*found.best)}, {best:+.3f}",
                f"The map is read from layers {span(*found.learning)} of a plain pass; ranges "
                f"that begin at layer {found.learning[1]} or before need that pass outside a "
                "sweep.",
            ]
        )


def best_to_set(found: Sweep) -> str:
    """The best range that the settings allow, where that is another one; a sentence or ""."""
    first = found.learning[1] + 1
    if found.best[0] >= first or first >= len(found.change):
        return ""
    best = np.unravel_index(int(np.nanargmax(found.change[first:])), found.change[first:].shape)
    start, end = map(int, best)
    change = found.change[first + start, end]
    return f" Best that can be set: {layers_named(first + start, end)}, {signed(change)}."
