"""Changes to a mixture: components muted, heard alone, moved or resized."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vif.adapter.mixture import MixtureParameters, render
from vif.errors import InputError
from vif.trace import Mixture, Trace

LEAST_SIGMA = 0.005


@dataclass(frozen=True, eq=False)
class MixtureChanges:
    """What was changed in one mixture; the arrays are copies, in the order of its components.

    Attributes:
        means: (K, 2), in [0, 1] image coordinates.
        sigmas: (K,).
        weights: (K,), before muting.
        muted: Indices that count for nothing.
        solo: The only index that counts, or None.
        touched: Indices that were moved, resized or given another weight.
    """

    means: np.ndarray
    sigmas: np.ndarray
    weights: np.ndarray
    muted: frozenset[int] = frozenset()
    solo: int | None = None
    touched: frozenset[int] = frozenset()

    @classmethod
    def of(cls, mixture: Mixture) -> MixtureChanges:
        """The changes of an untouched mixture: none."""
        return cls(mixture.means.copy(), mixture.sigmas.copy(), mixture.weights.copy())

    @classmethod
    def read(cls, data: Any, mixture: Mixture) -> MixtureChanges:
        """Reads what the browser sent about a mixture; numbers out of range are clipped.

        Raises:
            InputError: If it is something else.
        """
        count = len(mixture.weights)
        try:
            means = np.array(data["means"], np.float64).reshape(count, 2)
            sigmas, weights = (
                np.array(data[name], np.float64).reshape(count) for name in ("sigmas", "weights")
            )
            muted = frozenset(_component(k, count) for k in data["muted"])
            touched = frozenset(_component(k, count) for k in data["touched"])
            solo = None if data["solo"] is None else _component(data["solo"], count)
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(
                "The changed mixture is malformed: undo the changes and try again."
            ) from error
        if not all(np.isfinite(values).all() for values in (means, sigmas, weights)):
            raise InputError(
                "The changed mixture contains values that are not numbers: undo the changes "
                "and try again."
            )
        own = cls.of(mixture)
        kept = np.array([k in touched for k in range(count)], bool)
        return cls(
            # What was not touched keeps its full precision.
            np.where(kept[:, None], np.clip(means, 0, 1), own.means),
            np.where(kept, np.clip(sigmas, LEAST_SIGMA, 1), own.sigmas),
            np.where(kept, np.clip(weights, 0, 1), own.weights),
            muted,
            solo,
            touched,
        )

    def is_heard(self, index: int) -> bool:
        """Whether a component has weight: it is neither muted nor silenced by a solo."""
        return index == self.solo if self.solo is not None else index not in self.muted

    def heard_weights(self) -> np.ndarray:
        """Weights with silent components at 0, (K,), sum to 1, or to 0 if all are silent."""
        heard = np.array([self.is_heard(i) for i in range(len(self.weights))], bool)
        weights = np.where(heard, self.weights, 0)
        return weights / max(weights.sum(), 1e-12)

    def apply(self, mixture: Mixture, trace: Trace, renderer: str = "density") -> Mixture:
        """Returns the changed mixture with the map that it makes.

        Args:
            mixture: The model's own.
            trace: The answer it was injected into, for the places of the image tokens.
            renderer: How the model turns a mixture into a map, see `vif.adapter.mixture.render`.

        Raises:
            InputError: If no component is left.
        """
        weights = self.heard_weights()
        if not weights.any():
            raise InputError("Every component is muted or has zero weight: enable one again.")
        parts = (self.means, self.sigmas, weights)
        batch = MixtureParameters(*(torch.from_numpy(np.asarray(p))[None] for p in parts))
        centres = torch.from_numpy(np.asarray(trace.centres, np.float32))
        return replace(
            mixture,
            means=self.means,
            sigmas=self.sigmas,
            weights=weights,
            map=render(batch, centres, renderer)[0].numpy(),
            spread=np.zeros_like(mixture.spread),
        )

    def describe(self) -> str:
        """What was changed, in a few words."""
        if self.solo is not None:
            parts = ["one component alone"]
        else:
            parts = [f"{len(self.muted)} muted"] if self.muted else []
        parts += [f"{len(self.touched)} changed"] if self.touched else []
        return ", ".join(parts) or "nothing changed"


def _component(value: Any, count: int) -> int:
    """The index of a component."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise ValueError(f"{value!r} is not a component.")
    return value
