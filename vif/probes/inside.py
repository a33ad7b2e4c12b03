"""Reads what a trace does not hold: hidden states, values and whole columns of one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from vif import metrics
from vif.draw.tables import grid
from vif.errors import InputError
from vif.model.attention import Tap
from vif.model.edits import Edit, Rows
from vif.model.generation import open_stream
from vif.probes.base import ProbeResult, open_prompt
from vif.probes.protocol import Probe, ProbeCall, charts, register
from vif.question import Question
from vif.session import Session


@dataclass(frozen=True)
class Internals(ProbeResult):
    """Arrays for the metrics that need more than a trace.

    Attributes:
        attention: Of the last row to the image tokens, (L, H, N).
        columns: Mean over heads and over all rows after the image, (L, N).
        dynamics: Largest head mean of any row after the image, (L, N).
        value_norms: ||v_j W_O|| of every image token, per head, (L, H, N).
        states: Hidden states of the image tokens that go into layers 1 to L - 1, (L - 1, N, d).
        first: The same of the first token of the prompt, (L - 1, d).
    """

    attention: np.ndarray
    columns: np.ndarray
    dynamics: np.ndarray
    value_norms: np.ndarray
    states: np.ndarray
    first: np.ndarray


def read_internals(session: Session, question: Question) -> Internals:
    """Reads a prompt once, without changing anything.

    Args:
        session: The model.
        question: What is asked about which image.

    Raises:
        InputError: If a layer has no output projection that is known here.
    """
    reading = open_prompt(session, question)
    blocks = session.backbone.model.get_decoder().layers
    if not all(hasattr(getattr(block, "self_attn", None), "o_proj") for block in blocks):
        raise InputError(
            f"{session.name} cannot be probed in this way: its layers have no self_attn.o_proj, "
            "so the content of values is unknown."
        )
    tap = _Collector(
        reading.batch.columns[0], reading.first_row, [block.self_attn.o_proj for block in blocks]
    )
    open_stream(session.backbone.model, reading.batch.inputs).advance(tap)
    return Internals(
        **{name: np.stack(arrays) for name, arrays in tap.found.items()},
    )


class _Collector(Tap):
    def __init__(self, columns: torch.Tensor, first_row: int, projections: list[nn.Module]) -> None:
        self.columns, self.projections = columns, projections
        self.first_row = torch.tensor([first_row])
        names = ("attention", "columns", "dynamics", "value_norms", "states", "first")
        self.found: dict[str, list[np.ndarray]] = {name: [] for name in names}

    @override
    def edit(self, layer: int) -> Edit:
        return _Read(self)

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        found = states[0].index_select(0, self.columns.to(states.device))
        self.keep("states", found)
        self.keep("first", states[0, 0])

    def keep(self, name: str, values: torch.Tensor) -> None:
        """Keeps an array of one layer under its name."""
        self.found[name].append(values.float().cpu().numpy())


class _Read(Edit):
    """Collects weights and values, and changes neither."""

    def __init__(self, collector: _Collector) -> None:
        super().__init__(collector.first_row)
        self.collector = collector

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        collector = self.collector
        seen = rows.at(weights, collector.columns[None])[0]
        mean = seen.mean(0)
        collector.keep("attention", seen[:, -1])
        collector.keep("columns", mean.mean(0))
        collector.keep("dynamics", mean.amax(0))
        norms = _value_norms(
            rows.value[0].index_select(1, collector.columns.to(rows.value.device)),
            weights.shape[1],
            collector.projections[rows.layer],
        )
        collector.keep("value_norms", norms)
        return weights


def _value_norms(values: torch.Tensor, heads: int, projection: nn.Module) -> torch.Tensor:
    """||v_j W_O|| per query head, (H, N), of values (Hkv, N, D).

    The projection is asked rather than its weight read, which a quantized layer hides.
    """
    values = values.repeat_interleave(heads // values.shape[0], 0)
    number, width = values.shape[1:]
    nothing = projection(values.new_zeros(1, heads * width))
    norms = []
    for head in range(heads):
        alone = values.new_zeros(number, heads * width)
        alone[:, head * width : (head + 1) * width] = values[head]
        norms.append((projection(alone) - nothing).float().norm(dim=-1))
    return torch.stack(norms)


@register
class InsideProbe(Probe[Internals]):
    """Measures what attention on the image contributes."""

    name = "inside"
    label = "Sinks and content"
    does = (
        "Reads the prompt once, including values and states: how much of the attention on the "
        "image lies on sinks, by four tests, and how much content does it transport?"
    )
    takes_boxes = True

    @override
    def run(self, call: ProbeCall) -> Internals:
        return call.once(lambda: read_internals(call.session, call.question))

    @override
    def words(self, found: Internals, call: ProbeCall) -> str:
        shares = sink_shares(found)
        name, curve = max(shares.items(), key=lambda entry: np.nanmean(entry[1]))
        layer = int(np.nanargmax(curve))
        recalled = self._recalled(found, call)
        addition = f" {recalled}" if recalled else ""
        return (
            f"By the test of {name}, sinks draw {np.nanmean(curve):.0%} of the attention on the "
            f"image on average, most in layer {layer} ({curve[layer]:.0%}).{addition}"
        )

    @override
    def table(self, found: Internals, call: ProbeCall) -> str:
        shares = sink_shares(found)
        columns = range(len(found.attention))
        values = np.stack(list(shares.values()))
        lines = [
            "share of the attention on the image that lies on sinks, by test (down) and layer:",
            grid(list(shares), columns, values, ".3f", "test"),
            "tokens that hold half of the image's contribution |a v W_O|, by layer:",
            grid(["tokens"], columns, tokens_for_half(found)[None], ".0f", ""),
        ]
        recalled = self._recalled(found, call)
        return "\n".join([*lines, recalled] if recalled else lines)

    @override
    def figure(self, found: Internals, call: ProbeCall) -> Any:
        return charts().sink_shares(sink_shares(found))

    def _recalled(self, found: Internals, call: ProbeCall) -> str:
        """What the entropy of tokens over layers says about the true place, if that is known."""
        if not call.question.boxes:
            return ""
        truth = metrics.box_coverage(call.cells(), call.question.boxes)
        if not truth.any():
            return ""
        recall = metrics.low_entropy_recall(metrics.token_entropy(found.dynamics), truth)
        return f"Of the true place, {recall:.0%} is among the 20 % of tokens of least entropy."


def sink_shares(found: Internals) -> dict[str, np.ndarray]:
    """Share of the attention on the image that lies on sinks, (L,) by test; NaN where untested."""
    rows = found.attention.mean(1)
    dimensions = metrics.massive_dimensions(found.first)
    later = {
        "massive activations": metrics.activation_sinks(found.states, dimensions),
        "likeness to the first token": metrics.cosine_sinks(found.states, found.first),
    }
    # The states are those that go into every layer but the first.
    tests = {name: np.pad(mask, ((1, 0), (0, 0))) for name, mask in later.items()}
    tests["attention"] = metrics.attention_sinks(found.columns)
    tests["attention without content"] = metrics.value_sinks(found.attention, found.value_norms)
    total = np.maximum(rows.sum(-1), np.finfo(rows.dtype).tiny)
    shares = {name: (rows * mask).sum(-1) / total for name, mask in tests.items()}
    for name in later:
        shares[name][0] = np.nan
    return shares


def tokens_for_half(found: Internals) -> np.ndarray:
    """How many image tokens bring half of what attention brings from the image, (L,)."""
    brought = np.sort(metrics.contribution(found.attention, found.value_norms), -1)[:, ::-1]
    return (brought.cumsum(-1) < 0.5).sum(-1) + 1
