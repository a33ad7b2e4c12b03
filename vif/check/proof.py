"""Models of unlisted families: a guessed layout is verified on the model, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Unpack

from vif.check.parity import rows_error
from vif.check.ramp import ramp_error
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.model.checkpoints.loading import LoadOptions

# Wide and tall, so that rows cannot be taken for columns; the second image differs from the first.
SIZES = ((320, 192), (176, 304))
TOKENS, HALF_A_CELL, ROWS_LIMIT = 32, 0.5, 1e-5


@dataclass(frozen=True)
class ProofStep:
    """One step of a proof.

    Attributes:
        name: What was compared.
        error: How far off, in cells or, for rows, in attention.
        limit: The largest error that passes.
    """

    name: str
    error: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the error is within the limit."""
        return self.error <= self.limit


def prove(backbone: Backbone) -> list[ProofStep]:
    """Tries the layout of a model with two patterns at two sizes, and the rows it records.

    Raises:
        InputError: If the model cannot be tried at all.
    """
    trials: list[tuple[str, Callable[[], float], float]] = [
        (
            f"places, {pattern} ramp, {size[0]} x {size[1]}",
            lambda size=size, turned=turned: ramp_error(backbone, size, TOKENS, turned),
            HALF_A_CELL,
        )
        for size in SIZES
        for pattern, turned in (("plain", False), ("turned", True))
    ]
    trials.append(("rows, full softmax", lambda: rows_error(backbone), ROWS_LIMIT))
    steps = []
    for name, trial, limit in trials:
        try:
            steps.append(ProofStep(name, trial(), limit))
        except InputError:
            raise
        # An untried model may fail in any way; every failure becomes one sentence.
        except Exception as error:
            raise InputError(
                f"{backbone.name} cannot be used: models of type {backbone.family.model_type!r} "
                "are not listed, and the places of its image tokens could not be verified "
                f"({type(error).__name__}: {error})."
            ) from error
    return steps


def load_proved(name_or_folder: str | Path, **options: Unpack[LoadOptions]) -> Backbone:
    """Loads a model of any family; arguments as in `vif.model.checkpoints.loading.load_checkpoint`.

    Raises:
        InputError: If it cannot be loaded, or is of a family that is not listed and its image
            tokens do not lie where they were guessed to.
    """
    backbone = Backbone.load(name_or_folder, allow_unlisted=True, **options)
    if not backbone.family.is_listed:
        refuse_unproved(backbone)
    return backbone


def refuse_unproved(backbone: Backbone) -> None:
    """Raises `InputError` unless the layout of a model is proved."""
    wrong = next((step for step in prove(backbone) if not step.holds), None)
    if wrong is not None:
        raise InputError(
            f"{backbone.name} cannot be used: models of type {backbone.family.model_type!r} are "
            f"not listed, and the verification ({wrong.name}) found an error of "
            f"{wrong.error:.2g}, expected at most {wrong.limit:.2g}."
        )


def proof_table(steps: list[ProofStep]) -> str:
    """The verification as text, one line per step."""
    lines = [f"{'proof of the layout':<38}{'error':>9}{'limit':>9}"]
    for step in steps:
        mark = "" if step.holds else "  FAILED"
        lines.append(f"{step.name:<38}{step.error:>9.1e}{step.limit:>9.1e}{mark}")
    return "\n".join(lines)
