"""Optimisers: parameter groups, and Muon with AdamW as one optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from typing_extensions import override

PROJECTORS = ("projector", "connector", "merger")
MUON_DECAY = 0.02
ADAM_BETAS = (0.9, 0.98)


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for matrices, AdamW for the rest, in one optimiser as schedulers and Trainer expect.

    Attributes:
        parts: The two; their parameter groups are this one's.
    """

    def __init__(self, matrices: list[dict[str, Any]], rest: list[dict[str, Any]]) -> None:
        """Takes parameter groups with ``params`` and ``lr``."""
        muon = torch.optim.Muon(matrices, weight_decay=MUON_DECAY, adjust_lr_fn="match_rms_adamw")
        adam = torch.optim.AdamW(rest, weight_decay=0.0, betas=ADAM_BETAS)
        super().__init__([*muon.param_groups, *adam.param_groups], {})
        self.parts = [muon, adam]
        self._share()

    def _share(self) -> None:
        """One list of groups, the very dictionaries of the parts: schedulers write into them."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @override
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both."""
        loss = None if closure is None else closure()
        for part in self.parts:
            part.step()
        return loss

    @override
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    @override
    def state_dict(self) -> dict[str, Any]:
        """State of both."""
        return {"parts": [part.state_dict() for part in self.parts]}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores `state_dict`."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share()


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], rates: dict[str, float]
) -> dict[str, tuple[float, list[tuple[str, nn.Parameter]]]]:
    """Trained parameters by kind: ``gate``, ``adapter``, ``projector``, ``decoder``.

    Args:
        parameters: Names and parameters; frozen ones are left out.
        rates: Learning rate of every kind.
    """
    groups: dict[str, tuple[float, list[tuple[str, nn.Parameter]]]] = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            kind = kind_of(name)
            groups.setdefault(kind, (rates[kind], []))[1].append((name, parameter))
    return groups


def kind_of(name: str) -> str:
    """Which learning rate a parameter of `training.model.VIFModel` has."""
    if name.startswith("adapter."):
        return "gate" if "gate_head" in name else "adapter"
    return "projector" if any(part in name for part in PROJECTORS) else "decoder"


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon takes it: matrices that are no table of embeddings."""
    return parameter.ndim == 2 and "embed" not in name
