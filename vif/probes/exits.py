"""Exit sweep: the layer after which the answer no longer needs the image."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vif.draw.tables import grid
from vif.metrics import next_token_divergence
from vif.probes.base import ProbeResult, open_prompt
from vif.probes.cuts import CutTap, EdgeCut, check_hideable, whole_image
from vif.probes.protocol import ANSWER, Probe, ProbeCall, charts, register
from vif.progress import Progress
from vif.question import Question
from vif.session import Session


@dataclass(frozen=True)
class ExitSweep(ProbeResult):
    """What is left of an answer when the image is dropped after a layer.

    Attributes:
        answer: The answer that is tracked.
        after: The last layer that sees the image, (L + 1,): -1 (none does) to L - 1 (all do).
        same: Whether the greedy answer stays word for word the same, (L + 1,) bool.
        first: First layer from which the answer stays the same: after it the image is not needed.
        kl: KL(plain || dropped) of the first answer token's distribution, (L + 1,), nats.
        probability: Of the whole tracked answer, (L + 1,).
    """

    answer: str
    after: np.ndarray
    same: np.ndarray
    first: int
    kl: np.ndarray
    probability: np.ndarray


def exit_sweep(
    session: Session,
    question: Question,
    *,
    answer: str | None = None,
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> ExitSweep:
    """Drops the image after every layer in turn, as batch rows of few short passes.

    In layers over l no row after the image sees any of it; what the text has read by then is
    all it has. DyVTE (arXiv 2411.19628) trains routers to find such a layer; this asks the model
    itself.

    Args:
        session: The model.
        question: What is asked about which image.
        answer: Whose probability to track; the model's own by default. `same` follows its tokens.
        cancel: Stops between two passes.
        progress: Called with (variants done, variants in all).

    Raises:
        InputError: If some layers have no attention: they would hand the image on.
        Cancelled: If `cancel` was set.
    """
    check_hideable(session.backbone)
    num_layers = session.num_layers
    reading = open_prompt(session, question)
    tracked = reading.answer(answer)
    rows = torch.arange(reading.length) >= reading.first_row
    keys = whole_image(reading)
    after = range(-1, num_layers)
    cuts = [EdgeCut(range(layer + 1, num_layers), rows, keys) for layer in after]
    device = reading.batch.columns.device
    found = reading.logprobs(
        lambda part: CutTap(cuts[part], device),
        len(cuts),
        tracked.ids,
        cancel=cancel,
        progress=progress,
    ).numpy()
    # Greedy answers agree exactly if the most likely token agrees at every step along one of them.
    choice = found.argmax(-1)
    same = (choice == choice[-1]).all(-1)
    changed = np.flatnonzero(~same)
    return ExitSweep(
        answer=tracked.text,
        after=np.array(after),
        same=same,
        first=int(changed[-1]) if len(changed) else -1,
        kl=next_token_divergence(found[-1, 0], found[:, 0]),
        probability=tracked.probability(found),
    )


@register
class ExitProbe(Probe[ExitSweep]):
    """Hides the image after each layer in turn."""

    name = "exit"
    label = "Exit sweep"
    does = "Hides the image after each layer in turn: after which layer is it no longer needed?"
    flags = (ANSWER,)

    @override
    def run(self, call: ProbeCall) -> ExitSweep:
        answer = self.option(call, "answer")
        return exit_sweep(call.session, call.question, answer=answer, **call.shared)

    @override
    def words(self, found: ExitSweep, call: ProbeCall) -> str:
        needed = (
            "The answer is the same without the image."
            if found.first < 0
            else f"After layer {found.first} the image is no longer needed for it."
        )
        return f"Tracked: “{found.answer}”. {needed}"

    @override
    def table(self, found: ExitSweep, call: ProbeCall) -> str:
        values = np.stack([found.same, found.kl, found.probability], 1).astype(float)
        names = ["never seen", *map(str, found.after[1:])]
        first = f"after layer {found.first}" if found.first >= 0 else "without the image at all"
        return "\n".join(
            [
                f"answer tracked: {found.answer!r}",
                grid(names, ["same", "KL", "probability"], values, ".4g", "image seen up to layer"),
                f"the answer stays the same from an exit {first}",
            ]
        )

    @override
    def figure(self, found: ExitSweep, call: ProbeCall) -> Any:
        return charts().exit_sweep(
            found.after, found.kl, found.probability, found.same, found.first
        )
