"""Optimisers: parameter groups, and Muon with AdamW as one optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from training.adapter.arguments import VIFTrainingArguments
from vif.errors import InputError

PROJECTORS = ("projector", "connector", "merger")
MUON_DECAY = 0.02
ADAM_BETAS = (0.9, 0.98)


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for matrices, AdamW for the rest, in one optimiser as schedulers and Trainer expect.

    Attributes:
        parts: The two, or the one that has something to do; their parameter groups are this one's.
    """

    def __init__(self, matrices: list[dict[str, Any]], rest: list[dict[str, Any]]) -> None:
        """Takes parameter groups with ``params`` and ``lr``, one of the lists possibly empty."""
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            muon = {"weight_decay": MUON_DECAY, "adjust_lr_fn": "match_rms_adamw"}
            self.parts.append(torch.optim.Muon(matrices, **muon))
        if rest:
            self.parts.append(torch.optim.AdamW(rest, weight_decay=0.0, betas=ADAM_BETAS))
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """One list of the parts' own group dictionaries, into which schedulers write."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @override
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Takes one step with each optimiser."""
        loss = None if closure is None else closure()
        for part in self.parts:
            part.step()
        return loss

    @override
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of all parameters."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    @override
    def state_dict(self) -> dict[str, Any]:
        """The states of both optimisers, for a checkpoint."""
        return {"parts": [part.state_dict() for part in self.parts]}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores both optimisers from `state_dict`."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share()


def make_optimizer(model: nn.Module, args: VIFTrainingArguments) -> torch.optim.Optimizer:
    """AdamW as published, or Muon for the matrices of the adapter and AdamW for the rest.

    Args:
        model: A `training.adapter.model.VIFModel`; frozen parameters are left out.
        args: Its learning rates.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if args.matrix_optimizer == "adamw":
        groups = _groups(named, args, args.learning_rate)
        for group in groups:
            group["weight_decay"] = args.weight_decay if group.pop("decays") else 0.0
        betas = (args.adam_beta1, args.adam_beta2)
        return torch.optim.AdamW(groups, betas=betas, eps=args.adam_epsilon)
    if args.matrix_optimizer != "muon":
        raise InputError(f"matrix_optimizer is {args.matrix_optimizer!r}, expected adamw or muon.")
    matrices = [(n, p) for n, p in named if n.startswith("adapter.") and _is_matrix(n, p)]
    chosen = {name for name, _ in matrices}
    rest = [(n, p) for n, p in named if n not in chosen]
    return MuonWithAdamW(
        _groups(matrices, args, args.learning_rate), _groups(rest, args, args.adam_learning_rate)
    )


def _groups(
    named: list[tuple[str, nn.Parameter]], args: VIFTrainingArguments, rate: float
) -> list[dict[str, Any]]:
    """Parameter groups by kind, and by whether weight decay is for them."""
    rates = {
        "adapter": rate,
        "gate": rate * args.gate_lr_scale,
        "projector": rate if args.mm_projector_lr is None else args.mm_projector_lr,
        "decoder": rate if args.decoder_lr is None else args.decoder_lr,
    }
    found: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        found.setdefault((kind_of(name), parameter.ndim > 1), []).append(parameter)
    return [
        {"params": parameters, "lr": rates[kind], "decays": decays}
        for (kind, decays), parameters in found.items()
    ]


def kind_of(name: str) -> str:
    """Which learning rate a parameter of `training.adapter.model.VIFModel` has."""
    if name.startswith("adapter."):
        return "gate" if "gate_head" in name else "adapter"
    return "projector" if any(part in name for part in PROJECTORS) else "decoder"


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon takes it: matrices that are no table of embeddings."""
    return parameter.ndim == 2 and "embed" not in name
