"""Controls at matched visual mass: as much attention on the image as a method, at another place.

A method that helps may do so by where it makes the model look, or only by how much. Its controls
raise the image's share of attention by as much, layer by layer, and spread it evenly or put it at a
random place. What the method gains beyond them comes from the place it chose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from typing_extensions import override

from vif.methods import Method, Request
from vif.methods.maps.base import MAPS
from vif.methods.vif import InjectingTap
from vif.model.rows import Mix

# What is too little to be matched: in a layer, and on the mean of all layers.
LEAST_STRENGTH = LEAST_GAIN = 0.005
# The maps that need nothing but the image, out of `vif.methods.maps.base`.
CONTROLS = ("uniform", "random")


def matched_strength(share: Sequence[float | None], base: Sequence[float | None]) -> np.ndarray:
    """Strength of probability mixing that lifts the image's share from `base` to `share`.

    Solves (1 - s) base + s = share for s, per layer. A layer whose share the method lowers cannot
    be matched by adding image and is left alone.

    Args:
        share: Mean share on the image under the method, by layer, (L,); None without attention.
        base: The same of the plain model.

    Returns:
        (L,), in [0, 1], 0 where it would be under `LEAST_STRENGTH` and in layers without attention.
    """
    plain = np.asarray(base, float)
    strength = ((np.asarray(share, float) - plain) / np.maximum(1 - plain, 1e-9)).clip(0, 1)
    return np.where(strength >= LEAST_STRENGTH, strength, 0.0)


def gives_more_image(share: Sequence[float | None], base: Sequence[float | None]) -> bool:
    """Whether a method gives the image more attention in all, on the mean of layers."""
    gain = np.asarray(share, float) - np.asarray(base, float)
    return float(np.nanmean(gain)) >= LEAST_GAIN


class MatchedControlTap(InjectingTap):
    """Mixes one map into all layers, at a strength of each layer's own, on all heads.

    Prompt rows after the image and generated rows alike, whatever the method itself steers.
    """

    def __init__(self, request: Request, map: torch.Tensor, strength: np.ndarray) -> None:
        super().__init__(request)
        batch = self.batch
        for layer, share in enumerate(strength):
            if share > 0:
                heads = map.new_full((len(batch), request.num_heads), float(share))
                self.mixes[layer] = Mix(batch.columns, map, heads, batch.first_row)


class MatchedControl(Method):
    """A control of one method; it is no entry of the registry, as it needs that method's figures.

    Attributes:
        strength: Of the mixing by layer, (L,), in [0, 1].
        map: Makes the map.
    """

    summary = "Control: as much attention on the image as the method gives, but not at its place."

    def __init__(self, method: str, control: str, strength: np.ndarray) -> None:
        self.name = f"{method}/{control}"
        self.strength, self.map = strength, MAPS[control].make

    @override
    def tap(self, request: Request) -> MatchedControlTap:
        """Replaces as much of every row as the method does, by the control's map."""
        return MatchedControlTap(request, self.map(request), self.strength)
