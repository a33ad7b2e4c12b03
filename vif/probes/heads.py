"""Head divergence: which heads change their output without the image?"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import override

from vif.draw.tables import grid
from vif.errors import InputError
from vif.methods.prompts import without_image
from vif.metrics import sensitivity, total_sensitivity
from vif.model.batch import Batch
from vif.model.generation import Cancelled, open_stream
from vif.model.heads import HeadOutputs
from vif.probes.base import ProbeResult
from vif.probes.protocol import Probe, ProbeCall, ProbeFlag, charts, register
from vif.progress import Progress
from vif.question import Question
from vif.session import Session

# 4 of 32 heads of a 7B model.
_TOP = 1 / 8


@dataclass(frozen=True)
class HeadDivergence(ProbeResult):
    """How far head outputs move when the image is taken out of the prompt.

    Attributes:
        divergence: VHD, (L, H), >= 0; NaN in layers that have no attention.
        relative: VHD over the norm of the output with the image, (L, H).
        top: Heads per layer in `total`.
        total: T-VHD, the sum over layers of the `top` largest.
    """

    divergence: np.ndarray
    relative: np.ndarray
    top: int
    total: float


def head_divergence(
    session: Session,
    question: Question,
    *,
    top: int | None = None,
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
) -> HeadDivergence:
    """Compares head outputs, before W_O, of the row that predicts the first token.

    VHD and T-VHD of arXiv 2412.13949; the formulas are in `vif.metrics.content`. Without its image
    the text moves to earlier positions, as published, which is part of what is measured.

    Args:
        session: The model.
        question: What is asked about which image.
        top: Heads per layer in T-VHD; an eighth of them by default.
        cancel: Stops between the two passes.
        progress: Called with (passes done, 2).

    Raises:
        InputError: If a layer does not have so many heads.
        Cancelled: If `cancel` was set.
    """
    backbone = session.backbone
    top = max(1, round(_TOP * backbone.num_heads)) if top is None else top
    if not 1 <= top <= backbone.num_heads:
        raise InputError(
            f"The number of heads to sum per layer is {top}, expected 1 to {backbone.num_heads}."
        )
    prompt = session.encode(question.opened())
    prompts = (Batch.make(backbone, [prompt]).inputs, backbone.collate([without_image(prompt)]))
    outputs = []
    for done, inputs in enumerate(prompts, start=1):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        tap = HeadOutputs()
        open_stream(backbone.model, inputs).advance(tap)
        outputs.append({layer: out[0].cpu().numpy() for layer, out in tap.layers.items()})
        if progress is not None:
            progress(done, len(prompts))
    divergence, relative = np.full((2, backbone.num_layers, backbone.num_heads), np.nan)
    # One by one: heads need not be as wide in every layer.
    for layer, with_image in outputs[0].items():
        pair = with_image[None], outputs[1][layer][None]
        divergence[layer], relative[layer] = sensitivity(*pair), sensitivity(*pair, relative=True)
    return HeadDivergence(
        divergence=divergence,
        relative=relative,
        top=top,
        total=total_sensitivity(divergence, top),
    )


@register
class HeadsProbe(Probe[HeadDivergence]):
    """Compares head outputs with and without the image."""

    name = "heads"
    label = "Head divergence"
    does = "Compares what every head puts out with and without the image, in two passes."
    flags = (ProbeFlag("top", int, "heads per layer in the sum"),)

    @override
    def run(self, call: ProbeCall) -> HeadDivergence:
        top = self.option(call, "top")
        return head_divergence(call.session, call.question, top=top, **call.shared)

    @override
    def words(self, found: HeadDivergence, call: ProbeCall) -> str:
        most = int(np.nanargmax(found.divergence))
        layer, head = np.unravel_index(most, found.divergence.shape)
        return (
            f"Head {head} of layer {layer} changes most without the image, by "
            f"{found.divergence[layer, head]:.2f}. T-VHD, the sum of the {found.top} largest "
            f"per layer: {found.total:.2f}."
        )

    @override
    def table(self, found: HeadDivergence, call: ProbeCall) -> str:
        layers, columns = (range(size) for size in found.divergence.shape)
        return "\n".join(
            [
                "distance of head outputs with and without the image (VHD), layer down, head "
                "across:",
                grid(layers, columns, found.divergence, ".3f", "layer"),
                "the same over the norm of the output with the image:",
                grid(layers, columns, found.relative, ".3f", "layer"),
                f"sum of the {found.top} largest of every layer (T-VHD): {found.total:.3f}",
            ]
        )

    @override
    def figure(self, found: HeadDivergence, call: ProbeCall) -> Any:
        return charts().head_divergence(found.divergence)
