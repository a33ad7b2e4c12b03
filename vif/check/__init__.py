"""Verifies recording, steering and token layout on a model, for ``python -m vif check``.

Loading a model already probes it: every layer must record its attention and report its output. The
checks go on from there: are the recorded rows right, is the edit right, is everything else
untouched, and does every image token lie where the layout puts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from vif.check import parity, ramp
from vif.check.models import build, tiny_adapter, tiny_backbone
from vif.check.recipes import TINY
from vif.errors import InputError
from vif.model.backbone import Backbone

__all__ = [
    "CHECKS",
    "TINY",
    "Check",
    "CheckResult",
    "build",
    "check_model",
    "check_tiny",
    "grid_table",
    "model_table",
    "tiny_adapter",
    "tiny_backbone",
]

# Wide, tall, square, very wide, and smaller than a patch where the model takes it.
RAMP_SIZES = ((100, 60), (60, 100), (64, 64), (300, 40), (301, 207), (9, 7))
_RAMP_TOKENS = 48
# Images beside the checked one, of other shapes.
_OTHERS = ((60, 100), (64, 64))


@dataclass(frozen=True)
class Check:
    """One thing that must hold.

    Attributes:
        name: Short name.
        summary: What is compared with what.
        error: From a model to how far it is from holding.
        limit: Largest error that passes, in float32.
        half_limit: The same in half precision.
    """

    name: str
    summary: str
    error: Callable[[Backbone], float]
    limit: float
    half_limit: float


@dataclass(frozen=True)
class CheckResult:
    """How a check went: its error, and the limit that held."""

    check: Check
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the limit."""
        return self.error <= self.limit


def _ramp(backbone: Backbone) -> float:
    sizes = [size for size in RAMP_SIZES if not backbone.family.refuses(backbone.processor, size)]
    return max(ramp.ramp_error(backbone, size, _RAMP_TOKENS) for size in sizes)


def _several(backbone: Backbone) -> float:
    """The place of one image between two others; a family of one image has to refuse them."""
    if backbone.family.takes_several:
        return ramp.ramp_error(backbone, (100, 60), _RAMP_TOKENS, others=_OTHERS, place=1)
    try:
        ramp.ramp_error(backbone, (100, 60), 1, others=_OTHERS)
    except InputError:
        return 0.0
    return float("inf")


# Half precision rounds to 2^-8 (bfloat16), layer after layer: log-probabilities of either side
# differ from exact ones by some 0.02 already.
CHECKS = (
    Check("rows", "recorded rows, full softmax", parity.rows_error, 1e-6, 1e-6),
    Check("mix", "value mixing, dense reference", parity.mix_error, 1e-4, 0.1),
    Check("long", "the same, image out of a window", parity.long_mix_error, 1e-4, 0.1),
    Check("plain", "recorded model, untouched model", parity.plain_error, 0, 0),
    Check("threads", "at once, one after another", parity.threads_error, 1e-6, 1e-6),
    Check("padding", "padded batch, single prompts", parity.padding_error, 1e-4, 0.1),
    Check("gradient", "of map and strength, reference", parity.gradient_error, 1e-3, 0.5),
    Check("ramp", "where tokens lie, in tokens", _ramp, 0.5, 0.5),
    Check("several", "the same, one image of three", _several, 0.5, 0.5),
)
HALF = Check("bf16", "mix again, in bfloat16", parity.mix_error, 0.1, 0.1)


@torch.no_grad()
def check_model(backbone: Backbone) -> Iterator[CheckResult]:
    """Runs every check on a model, which must not be used otherwise meanwhile."""
    is_half = backbone.model.dtype != torch.float32
    for check in CHECKS:
        limit = check.half_limit if is_half else check.limit
        yield CheckResult(check, check.error(backbone), limit)


@torch.no_grad()
def check_tiny(family: str, device: str = "cpu") -> Iterator[CheckResult]:
    """Runs every check on the tiny model of a family, and mixing in bfloat16 too."""
    yield from check_model(tiny_backbone(family, device=device))
    error = HALF.error(tiny_backbone(family, torch.bfloat16, device))
    yield CheckResult(HALF, error, HALF.limit)


def model_table(outcomes: list[CheckResult]) -> str:
    """The checks of one model as text, one line per check."""
    lines = [f"{'check':<9}{'what is compared':<34}{'error':>9}{'limit':>9}"]
    for outcome in outcomes:
        check, mark = outcome.check, "" if outcome.passed else "  FAILED"
        lines.append(
            f"{check.name:<9}{check.summary:<34}{outcome.error:>9.1e}{outcome.limit:>9.1e}{mark}"
        )
    return "\n".join(lines)


def grid_table(found: dict[str, list[CheckResult]]) -> str:
    """One line per family, one column per check; an error over its limit is marked."""
    checks = [*CHECKS, HALF]
    lines = [
        f"{'family':<16}" + "".join(f"{check.name:>9} " for check in checks),
        f"{'limit':<16}" + "".join(f"{check.limit:>9.0e} " for check in checks),
    ]
    for family, outcomes in found.items():
        cells = (f"{o.error:>9.1e}{' ' if o.passed else '!'}" for o in outcomes)
        lines.append(f"{family:<16}" + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)
