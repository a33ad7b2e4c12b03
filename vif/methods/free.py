"""Training-free VIF: the map comes from the model's own middle layers."""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from vif.adapter import VIFConfig
from vif.fit import fit_mixture
from vif.generation import generate
from vif.lens import Batch, Recorder
from vif.methods.base import Method, Request, register
from vif.methods.mixing import Choose, Draw, InjectingTap, own
from vif.mixture import MixtureParameters, render

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
        self.generic = self._learned(_recorded(request, request.instead(GENERIC)))

    @override
    def record(self, layer: int, row: torch.Tensor, first_key: int) -> None:
        """Keeps the row; after the last learning layer of the prefill the map is made."""
        super().record(layer, row, first_key)
        settings = self.request.settings
        if self.position == 0 and layer == settings.learning_layers[-1]:
            draw = self._draw(self._learned(self.rows[0]))
            self.inject(settings.injection_layers, settings.learning_layers[0], [draw])

    def _learned(self, rows: list[torch.Tensor]) -> np.ndarray:
        """Rows of the learning layers, (B, L, H, N)."""
        layers = self.request.settings.learning_layers
        return torch.stack([rows[layer] for layer in layers], 1).numpy()

    def _draw(self, asked: np.ndarray) -> Draw:
        centres = self.batch.centres.cpu().numpy()
        visible = ~np.isnan(centres).any(-1)
        rows = zip(asked, self.generic, visible, strict=True)
        favoured = np.stack([relative_attention(*of_prompt) for of_prompt in rows])
        known = favoured.sum(1) > 0
        # Where nothing is favoured a mixture over the whole image stands in and is not injected.
        weights = np.where(known[:, None], favoured, visible)
        fits = [
            fit_mixture(*points, NUM_COMPONENTS, VIFConfig.min_sigma, self.request.settings.seed)
            for points in zip(centres, weights, strict=True)
        ]
        parts = (np.stack([fit[i] for fit in fits]) for i in range(3))
        mixture = MixtureParameters(*(torch.from_numpy(p).to(self.batch.centres) for p in parts))
        maps = render(mixture, self.batch.centres)
        maps = maps * torch.from_numpy(known).to(maps)[:, None]
        return Draw(mixture, maps, constant_gate(self.request))


def _recorded(request: Request, batch: Batch) -> list[torch.Tensor]:
    """What the last prompt row of every layer attends to, one (B, H, N) per layer."""
    recorder = Recorder(batch)
    generate(request.backbone.model, dict(batch.inputs), recorder, 1)
    return recorder.rows[0]


@register
class VIFFree(Method):
    """VIF without a trained part: where the model itself looks for the question, made stronger."""

    name = "vif-free"
    summary = "No adapter: a mixture fitted to where the middle layers look (one extra pass)."
    extra_passes = 1

    @override
    def tap(self, request: Request) -> FreeTap:
        """Needs no adapter."""
        return FreeTap(request)
