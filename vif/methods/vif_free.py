"""Training-free VIF: the map comes from the model's own middle layers."""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from vif.adapter import VIFConfig
from vif.adapter.em import fit_mixture
from vif.adapter.mixture import MixtureParameters, render
from vif.methods.base import Method, Request, register
from vif.methods.maps.reading import last_rows, learning_rows
from vif.methods.vif import Choose, Draw, InjectingTap, own

GENERIC = "Write a general description of the image."
NUM_COMPONENTS = 8
# A sink draws this many times its even share under a generic question, and a question about
# something does not draw much more to it.
SINK_FACTOR, FAVOURED = 5.0, 2.0
# A place that draws less than this much more under the question is not favoured: rounding.
LEAST = 0.01


def relative_attention(asked: np.ndarray, generic: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Where a question makes a model look more than a generic question does.

    By how much (A(question) + lambda) / (A(generic) + lambda) exceeds 1, averaged over layers.
    Departs from CARVE (arXiv 2509.06461) and ViCrop (arXiv 2502.17422): their lambda of 1e-8, below
    the line only, makes a place that the generic question happens to ignore outshine all others.
    Here it is the median of A(generic), above and below, so that equal attention gives nothing
    anywhere. Sinks, tokens that draw attention under any question, are left out.

    Args:
        asked: Attention to image tokens under the question, (L, H, N).
        generic: Under the generic question, (L, H, N).
        visible: Tokens that lie on the image, (N,) bool.

    Returns:
        (N,), >= 0, sums to 1, or to 0 if no place is favoured.
    """
    if not visible.any():
        return np.zeros(len(visible))
    asked, generic = (_shares(rows, visible) for rows in (asked, generic))
    typical = np.median(generic[:, visible], 1, keepdims=True)
    excess = ((asked - generic) / np.maximum(generic + typical, 1e-12)).mean(0)
    always = generic.mean(0) > SINK_FACTOR / visible.sum()
    sinks = always & (asked.mean(0) < FAVOURED * generic.mean(0))
    favoured = np.where((excess > LEAST) & ~sinks, excess, 0)
    return favoured / max(favoured.sum(), 1e-12)


def _shares(rows: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Head means as shares of what lies on the image, (L, N); zeros where nothing does."""
    mean = np.where(visible, rows.astype(np.float64).mean(1), 0)
    return mean / np.maximum(mean.sum(1, keepdims=True), 1e-12)


def constant_gate(request: Request) -> torch.Tensor:
    """A gate of 1: alpha itself, (B, num_layers, num_heads)."""
    batch = request.batch
    layers = request.settings.injection_layers[-1] + 1
    return batch.centres.new_ones(len(batch), layers, request.num_heads)


class FreeTap(InjectingTap):
    """Compares the learning layers' rows under the question and under a generic one.

    The rows under the question come from the answer's own prefill, whose learning layers lie before
    its injection layers; the generic question costs one pass more, made here.
    """

    def __init__(self, request: Request, choose: Choose = own) -> None:
        super().__init__(request, choose)
        self.layers = learning_rows(request)
        self.generic = last_rows(request, request.instead(GENERIC), self.layers)

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        """Keeps the row; after the last learning layer of the prefill the map is made."""
        super().record(layer, row, first_key)
        if self.position == 0 and layer == self.layers[-1]:
            asked = torch.stack([self.rows[0][known] for known in self.layers], 1).numpy()
            draw = fitted(self.request, asked, self.generic)
            self.inject(self.request.settings.injection_layers, self.layers[0], [draw])


def fitted(request: Request, asked: np.ndarray, generic: np.ndarray) -> Draw:
    """A mixture fitted to `relative_attention`, at strength alpha.

    Args:
        request: Of the method.
        asked: Attention to image tokens under the question, (B, L, H, N).
        generic: Under the generic question, (B, L, H, N).
    """
    centres = request.batch.centres
    points = centres.cpu().numpy()
    visible = ~np.isnan(points).any(-1)
    rows = zip(asked, generic, visible, strict=True)
    favoured = np.stack([relative_attention(*of_prompt) for of_prompt in rows])
    known = favoured.sum(1) > 0
    # Where nothing is favoured a mixture over the whole image stands in and is not injected.
    weights = np.where(known[:, None], favoured, visible)
    fits = [
        fit_mixture(*weighted, NUM_COMPONENTS, VIFConfig.min_sigma, request.settings.seed)
        for weighted in zip(points, weights, strict=True)
    ]
    parts = (np.stack([fit[i] for fit in fits]) for i in range(3))
    mixture = MixtureParameters(*(torch.from_numpy(p).to(centres) for p in parts))
    maps = render(mixture, centres)
    maps = maps * torch.from_numpy(known).to(maps)[:, None]
    return Draw(mixture, maps, constant_gate(request))


@register
class VIFFree(Method):
    """VIF without a trained part: where the model itself looks for the question, made stronger."""

    name = "vif-free"
    summary = "No adapter: a mixture fitted to where the middle layers look (one extra pass)."
    extra_passes = 1
    uses_ranges = True

    @override
    def tap(self, request: Request) -> FreeTap:
        """Needs no adapter."""
        return FreeTap(request)
