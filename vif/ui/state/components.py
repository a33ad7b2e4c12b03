"""A mixture whose components a person mutes, singles out, moves or resizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from vif.adapter.mixture import MixtureParameters, render
from vif.errors import InputError
from vif.trace import Mixture, Trace

LEAST_SIGMA = 0.005


@dataclass(frozen=True, eq=False)
class Changes:
    """What was changed in one mixture; the arrays are copies, in the order of its components.

    Attributes:
        means: (K, 2), in [0, 1] image coordinates.
        sigmas: (K,).
        weights: (K,), before muting.
        muted: Indices that count for nothing.
        solo: The only index that counts, or None.
        touched: Indices that were moved, resized or weighted anew.
    """

    means: np.ndarray
    sigmas: np.ndarray
    weights: np.ndarray
    muted: frozenset[int] = frozenset()
    solo: int | None = None
    touched: frozenset[int] = frozenset()

    @classmethod
    def of(cls, mixture: Mixture) -> Changes:
        """No changes yet."""
        return cls(mixture.means.copy(), mixture.sigmas.copy(), mixture.weights.copy())

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs from the model's own mixture."""
        return not self.muted and not self.touched and self.solo is None

    def is_heard(self, index: int) -> bool:
        """Whether a component counts."""
        return index == self.solo if self.solo is not None else index not in self.muted

    def mute(self, index: int) -> Changes:
        """Mutes a component, or lets it count again."""
        return replace(self, muted=self.muted ^ {index})

    def single_out(self, index: int) -> Changes:
        """Lets only this component count, or all again."""
        return replace(self, solo=None if self.solo == index else index)

    def put(
        self,
        index: int,
        x: float | None = None,
        y: float | None = None,
        sigma: float | None = None,
        weight: float | None = None,
    ) -> Changes:
        """Changes numbers of a component; what is None stays, what leaves the range is clipped."""
        means, sigmas, weights = self.means.copy(), self.sigmas.copy(), self.weights.copy()
        for axis, value in enumerate((x, y)):
            if value is not None:
                means[index, axis] = np.clip(value, 0, 1)
        if sigma is not None:
            sigmas[index] = np.clip(sigma, LEAST_SIGMA, 1)
        if weight is not None:
            weights[index] = np.clip(weight, 0, 1)
        return replace(
            self, means=means, sigmas=sigmas, weights=weights, touched=self.touched | {index}
        )

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
            raise InputError("Every component is muted or weighs nothing: let one count again.")
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

    def told(self) -> str:
        """What was changed, in a few words."""
        if self.solo is not None:
            parts = ["one component alone"]
        else:
            parts = [f"{len(self.muted)} muted"] if self.muted else []
        parts += [f"{len(self.touched)} changed"] if self.touched else []
        return ", ".join(parts) or "nothing changed"
