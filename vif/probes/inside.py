"""What a trace does not hold: hidden states, values and whole columns of one plain pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from vif.errors import InputError
from vif.model.attention import Tap
from vif.model.edits import Edit, Rows
from vif.model.generation import open_stream
from vif.probes.base import Result, open_reading
from vif.question import Question
from vif.session import Session


@dataclass(frozen=True)
class Inside(Result):
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


def look_inside(session: Session, question: Question) -> Inside:
    """Reads a prompt once, without changing anything.

    Args:
        session: The model.
        question: What is asked about which image.

    Raises:
        InputError: If a layer has no output projection that is known here.
    """
    reading = open_reading(session, question)
    blocks = session.backbone.model.get_decoder().layers
    if not all(hasattr(getattr(block, "self_attn", None), "o_proj") for block in blocks):
        raise InputError(
            f"{session.name} cannot be looked into: its layers have no self_attn.o_proj, so what "
            "values bring is not known."
        )
    tap = _Collector(
        reading.batch.columns[0], reading.first_row, [block.self_attn.o_proj for block in blocks]
    )
    open_stream(session.backbone.model, reading.batch.inputs).advance(tap)
    return Inside(
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
    """Looks at weights and values; gives back what it was given."""

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
