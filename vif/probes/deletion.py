"""Deletion curve: is a map faithful, does the answer need what it marks?"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vif.draw.tables import grid
from vif.errors import InputError
from vif.metrics import image_weights, mean_weights
from vif.probes.base import ProbeResult, open_prompt
from vif.probes.cuts import CutTap, EdgeCut, check_hideable, whole_image
from vif.probes.prefix import SharedPrompt
from vif.probes.protocol import ANSWER, Probe, ProbeCall, ProbeFlag, charts, register, signed
from vif.progress import Progress
from vif.question import Question
from vif.session import Session
from vif.trace import Trace

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class DeletionCurve(ProbeResult):
    """An answer's probability as more and more image tokens are hidden.

    K shares, D random orders.

    Attributes:
        answer: The answer that is tracked.
        shares: Shares of the image tokens that are hidden, (K,), from 0 to 1.
        top: Probability with the tokens of largest weight hidden, (K,).
        random: Probability with random tokens hidden, one order after another, (D, K).
        area: Area between the mean of `random` and `top` over the shares, in units of
            probability; above 0 the map marks what the answer needs.
        areas: The same for every order's own curve against the mean of the others, (D,): how
            large an area is without any map.
    """

    answer: str
    shares: np.ndarray
    top: np.ndarray
    random: np.ndarray
    area: float
    areas: np.ndarray


def deletion_curve(
    session: Session,
    question: Question,
    weights: np.ndarray,
    *,
    answer: str | None = None,
    shares: Sequence[float] = SHARES,
    draws: int = 8,
    seed: int = 0,
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> DeletionCurve:
    """Hides the most important image tokens first, and random ones against them.

    Deletion (RISE, arXiv 1806.07421) with attention instead of pixels: a hidden token is invisible
    to every row after the image in every layer, so nothing out of distribution is painted in. What
    other image tokens took over from it before stays. With all of them hidden the row breaks and
    other marks between them are hidden too.

    Args:
        session: The model.
        question: What is asked about which image.
        weights: The map, one weight per image token, (N,), >= 0; equal weights come in random
            order.
        answer: Whose probability to track; the model's own by default.
        shares: Shares to hide, in [0, 1], ascending.
        draws: Random orders, >= 2.
        seed: Of the random orders.
        cancel: Stops between two passes.
        progress: Called with (variants done, variants in all).

    Raises:
        InputError: If the map does not fit the image, or shares or draws make no sense.
        Cancelled: If `cancel` was set.
    """
    points = np.asarray(shares, float)
    _check(points, draws)
    check_hideable(session.backbone)
    reading = open_prompt(session, question)
    number = reading.batch.columns.shape[1]
    orders = _orders(np.asarray(weights, float), number, draws, seed)
    counts = np.round(points * number).astype(int)
    columns = reading.batch.columns[0].cpu()
    hidden = [
        tuple(columns[np.sort(order[:count])].tolist()) for order in orders for count in counts
    ]
    # Nothing and everything are the same in every order.
    distinct = list(dict.fromkeys(hidden))
    cuts = [_hiding(reading, positions, session.num_layers) for positions in distinct]
    tracked = reading.answer(answer)
    device = reading.batch.columns.device
    found = reading.logprobs(
        lambda part: CutTap(cuts[part], device),
        len(cuts),
        tracked.ids[: tracked.length],
        cancel=cancel,
        progress=progress,
    ).numpy()
    of = dict(zip(distinct, tracked.probability(found), strict=True))
    curves = np.array([of[positions] for positions in hidden])
    curves = curves.reshape(len(orders), len(counts))
    top, random = curves[0], curves[1:]
    others = [np.delete(random, i, 0).mean(0) for i in range(draws)]
    return DeletionCurve(
        answer=tracked.text,
        shares=points,
        top=top,
        random=random,
        area=float(np.trapezoid(random.mean(0) - top, points)),
        areas=np.array(
            [np.trapezoid(rest - own, points) for rest, own in zip(others, random, strict=True)]
        ),
    )


def _orders(weights: np.ndarray, number: int, draws: int, seed: int) -> list[np.ndarray]:
    """Orders in which to hide tokens: by the map, then at random, (N,) each.

    Raises:
        InputError: If the map does not fit the image.
    """
    if weights.shape != (number,) or not np.isfinite(weights).all() or weights.min() < 0:
        raise InputError(
            f"The map has shape {weights.shape}, but the image has {number} tokens: expected one "
            "finite weight of at least 0 for each."
        )
    rng = np.random.default_rng(seed)
    by_map = np.lexsort((rng.random(number), -weights))
    return [by_map, *(rng.permutation(number) for _ in range(draws))]


def _hiding(reading: SharedPrompt, positions: tuple[int, ...], num_layers: int) -> EdgeCut:
    """Hides image tokens from every row after the image, in all layers."""
    rows = torch.arange(reading.length) >= reading.first_row
    is_all = len(positions) == reading.batch.columns.shape[1]
    keys = whole_image(reading) if is_all else _marked(reading.length, positions)
    return EdgeCut(range(num_layers), rows, keys)


def map_of(trace: Trace, layers: Sequence[int] | None = None) -> np.ndarray:
    """A map to test: what a trace's method injected, else where its first token's row looked.

    Args:
        trace: A trace.
        layers: Of the attention; all that have any by default.

    Returns:
        (N,), the mean over injection layers or over `layers`.
    """
    if trace.mixtures:
        return np.mean([mixture.map for mixture in trace.mixtures], 0)
    return mean_weights(trace) if layers is None else image_weights(trace)[list(layers)].mean(0)


def _check(shares: np.ndarray, draws: int) -> None:
    ascending = len(shares) >= 2 and (np.diff(shares) > 0).all()
    if not ascending or shares[0] < 0 or shares[-1] > 1:
        raise InputError(
            f"The shares to hide are {shares.tolist()}, expected at least two that ascend in "
            "[0, 1]."
        )
    if draws < 2:
        raise InputError(f"There are {draws} random orders, expected at least 2.")


def _marked(length: int, positions: Sequence[int]) -> torch.Tensor:
    marked = torch.zeros(length, dtype=torch.bool)
    marked[list(positions)] = True
    return marked


@register
class DeletionProbe(Probe[DeletionCurve]):
    """Hides the tokens that a map marks, and random ones."""

    name = "deletion"
    label = "Deletion curve"
    does = (
        "Hides the tokens that a map marks, or random tokens: does the answer depend on what "
        "the map shows?"
    )
    needs_map = True
    needs_whole = True
    flags = (
        ANSWER,
        ProbeFlag("draws", int, "random orders", 8),
        ProbeFlag("seed", int, "of the random orders", 0),
    )

    @override
    def run(self, call: ProbeCall) -> DeletionCurve:
        _check_whole(call)
        given = {flag.name: self.option(call, flag.name) for flag in self.flags}
        weights = map_of(call.mapped)
        return deletion_curve(call.session, call.question, weights, **given, **call.shared)

    @override
    def words(self, found: DeletionCurve, call: ProbeCall) -> str:
        by_chance = float(found.areas.max())
        verdict = (
            "so the map marks what the answer depends on"
            if found.area > max(by_chance, 0)
            else "so the map is no better than chance"
        )
        return (
            f"Tracked: “{found.answer}”. Hiding what {call.label} marks costs "
            f"{signed(found.area, 3)} of probability more than hiding random tokens (area "
            f"between the curves; random orders reach {signed(by_chance, 3)}), {verdict}."
        )

    @override
    def table(self, found: DeletionCurve, call: ProbeCall) -> str:
        columns = [f"{share:.0%}" for share in found.shares]
        low, high = found.random.min(0), found.random.max(0)
        values = np.stack([found.top, found.random.mean(0), low, high])
        random = f"random, mean of {len(found.random)}"
        names = [f"top of {call.label}", random, "random, lowest", "random, highest"]
        return "\n".join(
            [
                f"answer tracked: {found.answer!r}; its probability with these tokens hidden:",
                grid(names, columns, values, ".4f", "hidden"),
                f"area between random and top: {found.area:+.4f}; single random orders against "
                f"the others: {found.areas.min():+.4f} to {found.areas.max():+.4f}",
            ]
        )

    @override
    def figure(self, found: DeletionCurve, call: ProbeCall) -> Any:
        return charts().deletion(found.shares, found.top, found.random, call.label)


def _check_whole(call: ProbeCall) -> None:
    """Raises `InputError` if a map lies on other tokens than those that are hidden."""
    mapped = call.mapped.cells
    if not np.array_equal(mapped, call.cells().astype(mapped.dtype), equal_nan=True):
        raise InputError(
            f"{call.label} lies on a part of the picture, but this probe hides tokens of the "
            "full picture: choose another answer."
        )
