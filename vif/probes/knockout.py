"""Attention knockout: through which layers does what is seen reach the answer?"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from vif.draw.tables import grid, span
from vif.errors import InputError
from vif.inputs.boxes import Box, check_boxes
from vif.metrics import box_coverage
from vif.probes.base import ProbeResult, open_prompt
from vif.probes.cuts import CutTap, EdgeCut, whole_image
from vif.probes.prefix import SharedPrompt
from vif.probes.protocol import Probe, ProbeCall, ProbeFlag, charts, layers_named, register, signed
from vif.progress import Progress
from vif.question import Question
from vif.session import Session

FLOWS = ("question->last", "image->last", "image->question")
BOX_FLOWS = (
    "object->question",
    "non-object->question",
    "object->last",
    "non-object->last",
)
# 7 of 32 layers, as the published plots for 7B models.
_WINDOW = 7 / 32


@dataclass(frozen=True)
class Knockout(ProbeResult):
    """What cutting a flow in a window of layers does to the first answer token.

    F flows, L layers; a window stands at its middle layer.

    Attributes:
        flows: Names, ``"from->to"``.
        window: Layers of a window; fewer at both ends.
        spans: First and last layer of every window, (L, 2).
        token: The token that is tracked, as text.
        probability: Its probability without a cut.
        cut: Its probability with a flow cut in a window, (F, L).
        change: 100 (cut - probability) / probability, (F, L), in per cent.
    """

    flows: tuple[str, ...]
    window: int
    spans: np.ndarray
    token: str
    probability: float
    cut: np.ndarray
    change: np.ndarray


def knockout(
    session: Session,
    question: Question,
    *,
    answer: str | None = None,
    flows: Sequence[str] | None = None,
    window: int | None = None,
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> Knockout:
    """Cuts every flow in every window of layers, as batch rows of few short passes.

    Edges from a set of keys to a set of rows get -inf before the softmax in layers l - floor(k/2)
    to l + ceil(k/2) - 1, clipped (arXiv 2411.18620), and the rest of the row shares what is free.
    "question" is everything between the image and the last row, with the unrelated text and the
    chat format, which would otherwise pass on what they saw; "last" is the row that predicts the
    first answer token; "image" is everything from its first token to its last, as the row breaks
    between them have read it too; "object" is every image token that touches a box, "non-object"
    the rest of the image. In layers without attention there are no edges to cut, and what they hand
    on stays.

    Args:
        session: The model.
        question: What is asked about which image; flows that name the object need its `boxes`.
        answer: Whose first token to track; the model's own answer by default.
        flows: Names out of `FLOWS` and `BOX_FLOWS`; all that can be had by default.
        window: Layers k of a window; 7 of 32 as a fraction by default.
        cancel: Stops between two passes.
        progress: Called with (variants done, variants in all).

    Raises:
        InputError: If a flow is unknown or lacks its boxes, or the window has no layer.
        Cancelled: If `cancel` was set.
    """
    boxes = () if question.boxes is None else question.boxes
    flows = tuple(flows or (FLOWS + (BOX_FLOWS if len(boxes) else ())))
    num_layers = session.num_layers
    window = max(1, round(_WINDOW * num_layers)) if window is None else window
    check_boxes(boxes)
    _check(flows, boxes, window, num_layers)
    reading = open_prompt(session, question)
    tracked = reading.answer(answer, max_new_tokens=1).ids[0]
    spans = [_span(layer, window, num_layers) for layer in range(num_layers)]
    edges = [_edges(reading, flow, boxes) for flow in flows]
    nothing = torch.zeros(reading.length, dtype=torch.bool)
    cuts = [EdgeCut((), nothing, nothing)]
    cuts += [EdgeCut(range(a, b + 1), rows, keys) for rows, keys in edges for a, b in spans]
    device = reading.batch.columns.device
    found = reading.logprobs(
        lambda part: CutTap(cuts[part], device), len(cuts), cancel=cancel, progress=progress
    )
    probability, *cut = found[:, 0, tracked].double().exp().tolist()
    cut = np.array(cut).reshape(len(flows), num_layers)
    tokenizer = session.backbone.processor.tokenizer
    return Knockout(
        flows=flows,
        window=window,
        spans=np.array(spans),
        token=tokenizer.decode([tracked]),
        probability=probability,
        cut=cut,
        change=100 * (cut - probability) / max(probability, 1e-12),
    )


def _check(flows: Sequence[str], boxes: Sequence[Box], window: int, num_layers: int) -> None:
    known = FLOWS + BOX_FLOWS
    for flow in flows:
        if flow not in known:
            raise InputError(f"Unknown flow {flow!r}: expected one of {', '.join(known)}.")
        if flow in BOX_FLOWS and not len(boxes):
            raise InputError(
                f"Flow {flow!r} needs the object's box: give boxes=[(x0, y0, x1, y1)]."
            )
    if not 1 <= window <= 2 * num_layers:
        raise InputError(
            f"The window has {window} layers, expected 1 to {2 * num_layers}: a window of twice "
            "the number of layers covers the whole model everywhere."
        )


def _span(layer: int, window: int, num_layers: int) -> tuple[int, int]:
    first, last = layer - window // 2, layer + (window + 1) // 2 - 1
    return max(0, first), min(num_layers - 1, max(last, 0))


def _edges(
    reading: SharedPrompt, flow: str, boxes: Sequence[Box]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and keys of a flow, each (S,) bool."""
    columns = reading.batch.columns[0].cpu()
    last = torch.zeros(reading.length, dtype=torch.bool)
    last[-1] = True
    asked = (torch.arange(reading.length) >= reading.first_row) & ~last
    seen = whole_image(reading)
    target = torch.zeros_like(last)
    target[columns] = torch.from_numpy(box_coverage(reading.prompt.layout.cells, boxes) > 0)
    sets = {
        "question": asked,
        "last": last,
        "image": seen,
        "object": target,
        "non-object": seen & ~target,
    }
    source, _, goal = flow.partition("->")
    return sets[goal], sets[source]


@register
class KnockoutProbe(Probe[Knockout]):
    """Cuts attention between parts of the prompt, window by window."""

    name = "knockout"
    label = "Knockout"
    does = (
        "Cuts attention between parts of the prompt in a window of layers, and tracks the "
        "first token: through which layers does the image reach the answer?"
    )
    takes_boxes = True
    flags = (
        ProbeFlag("window", int, "layers of a window"),
        ProbeFlag("flows", str, f"which of {', '.join(FLOWS + BOX_FLOWS)}", several=True),
        ProbeFlag("answer", str, "track its first token; default: the model's own answer"),
    )

    @override
    def run(self, call: ProbeCall) -> Knockout:
        given = {flag.name: self.option(call, flag.name) for flag in self.flags}
        return knockout(call.session, call.question, **given, **call.shared)

    @override
    def words(self, found: Knockout, call: ProbeCall) -> str:
        # Cutting the question always hurts and says nothing about the image.
        seen = [i for i, flow in enumerate(found.flows) if not flow.startswith("question")]
        if not seen:
            return f"Tracked: “{found.token}”, probability {found.probability:.2f}."
        worst = int(np.argmin(found.change[seen]))
        flow, place = (int(i) for i in np.unravel_index(worst, (len(seen), len(found.spans))))
        name = found.flows[seen[flow]].replace("->", " → ")
        change = signed(found.change[seen[flow], place], 0)
        return (
            f"Tracked: “{found.token}”, probability {found.probability:.2f}. Of the flows from "
            f"the image, cutting {name} in {layers_named(*found.spans[place])} has the largest "
            f"effect: {change} %."
        )

    @override
    def table(self, found: Knockout, call: ProbeCall) -> str:
        columns = [span(*ends) for ends in found.spans.tolist()]
        return "\n".join(
            [
                f"token tracked: {found.token!r}, probability {found.probability:.4f}",
                "change in per cent when a flow is cut in these layers:",
                grid(found.flows, columns, found.change, "+.1f", "flow"),
            ]
        )

    @override
    def figure(self, found: Knockout, call: ProbeCall) -> Any:
        return charts().knockout(found.flows, found.change, found.spans)
