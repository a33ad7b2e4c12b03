"""Training-free VIF: the map comes from the model's own likeliest answers.

Where would looking have made an answer likelier? The gradient of its log-probability with respect
to a map says so, without boxes and without training: a posterior q(z | I, Q, A) of one answer. Over
the answers that the model itself thinks likely, weighted by how likely, it is the aggregated
posterior sum_A p(A | I, Q) q(z | I, Q, A), which is the best prior that a VAE can have (Tomczak and
Welling 2018), taken under the model as it is.
"""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from vif.adapter import VIFConfig
from vif.adapter.em import fit_mixture
from vif.adapter.mixture import MixtureParameters
from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.evidence import SHARPNESS, STRENGTH, UniformMap, standardised
from vif.methods.vif import Choose, InjectingTap, SteeringMap, as_drawn
from vif.model.generation import Cancelled, open_stream

NUM_COMPONENTS = 8
OPTIONS = (
    Option("candidates", 4, 1, 8, 1, "Number of likeliest answers (first tokens)."),
    Option("probe", STRENGTH, 0.05, 1, 0.05, "Strength of the uniform map for the gradient."),
    Option(
        "sharpness",
        SHARPNESS,
        0.5,
        6,
        0.5,
        "Log-weight of one sigma of the gradient.",
    ),
)


def answer_map_options(request: Request) -> dict[str, float]:
    """The options of a request, complete: another method that shares the map has others."""
    return {option.name: request.options.get(option.name, option.default) for option in OPTIONS}


def answer_map(request: Request, options: dict[str, float]) -> torch.Tensor:
    """Where looking would have made the model's own answers likelier, (B, N) float64 on the CPU.

    Rows sum to 1, or to 0 where no answer depends on a place. One pass for the answers, one that
    keeps its graph for the gradients, one way back for every answer.
    """
    if request.cancel is not None and request.cancel.is_set():
        raise Cancelled
    batch, model = request.batch, request.backbone.model
    with torch.no_grad():
        likely = open_stream(model, dict(batch.inputs)).advance().softmax(-1)
    shares, answers = likely.topk(int(options["candidates"]), -1)
    stream = open_stream(model, dict(batch.inputs))
    with torch.enable_grad():
        tap = UniformMap(batch, request.num_heads, options["probe"])
        scores = stream.advance(tap, gradients=True).log_softmax(-1)
        chosen = scores.gather(1, answers.to(scores.device)).sum(0)
        found = [tap.gradient(score) for score in chosen]
    maps = [posterior(gradient, tap.visible, options["sharpness"]) for gradient in found]
    shares = (shares / shares.sum(1, keepdim=True)).cpu().double()
    pairs = zip(shares.T, maps, strict=True)
    return sum((share[:, None] * one for share, one in pairs), torch.zeros(()))


def posterior(gradient: torch.Tensor, visible: torch.Tensor, sharpness: float) -> torch.Tensor:
    """softmax(sharpness z) of standardised gradients (B, N) over visible tokens, on the CPU.

    Zeros where a gradient is flat or not finite.
    """
    scores, known, _ = standardised(gradient, visible)
    scores = (sharpness * scores).masked_fill(~visible.cpu(), float("-inf"))
    return scores.softmax(1).nan_to_num(0.0) * known


def constant_gate(request: Request) -> torch.Tensor:
    """A gate of 1: alpha itself, (B, num_layers, num_heads)."""
    batch = request.batch
    layers = request.settings.injection_layers[-1] + 1
    return batch.centres.new_ones(len(batch), layers, request.num_heads)


class TrainingFreeTap(InjectingTap):
    """Asks about the model's own answers first, then steers by the map that they give."""

    def __init__(self, request: Request, choose: Choose = as_drawn) -> None:
        super().__init__(request, choose)
        draw = steering_map_of(request, answer_map(request, answer_map_options(request)))
        self.inject(request.settings.injection_layers, -1, [draw])


def steering_map_of(request: Request, weights: torch.Tensor) -> SteeringMap:
    """A map (B, N) at strength alpha, and the mixture that is drawn for it."""
    centres = request.batch.centres
    points, maps = centres.cpu().numpy(), weights.numpy()
    visible = ~np.isnan(points).any(-1)
    # Where nothing is known a mixture over the whole image stands in and is not injected.
    shown = np.where(maps.sum(1, keepdims=True) > 0, maps, visible)
    fits = [
        fit_mixture(*weighted, NUM_COMPONENTS, VIFConfig.min_sigma, request.settings.seed)
        for weighted in zip(points, shown, strict=True)
    ]
    parts = (np.stack([fit[i] for fit in fits]) for i in range(3))
    mixture = MixtureParameters(*(torch.from_numpy(p).to(centres) for p in parts))
    return SteeringMap(mixture, weights.to(centres), constant_gate(request))


@register
class VIFFree(Method):
    """VIF without a trained part: where the model's own likeliest answers would have it look."""

    name = "vif-free"
    label = "Training-free VIF"
    group = Group.MODEL
    colour = "#b97b00"
    summary = "No adapter: where the model's own likeliest answers depend on the image (2 passes)."
    extra_passes = 2
    uses_ranges = True
    options = OPTIONS

    @override
    def tap(self, request: Request) -> TrainingFreeTap:
        """Works without an adapter, on any model."""
        return TrainingFreeTap(request)
