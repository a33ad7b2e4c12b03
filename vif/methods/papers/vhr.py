"""VHR: amplifies the heads whose output depends most on the image."""

from __future__ import annotations

from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import EditingTap, nearest_layer, published_layers
from vif.model.edits import Edit
from vif.model.generation import generate
from vif.model.heads import HeadOutputs


def outputs_without_image(request: Request) -> dict[int, torch.Tensor]:
    """Output of every head for the last row of the prompt without its image; one pass."""
    tap = HeadOutputs()
    generate(request.backbone.model, request.without_image(), tap, 1, request.cancel)
    return tap.layers


def output_distance(with_image: torch.Tensor, without: torch.Tensor) -> torch.Tensor:
    """VHD of the heads of a layer: ||A(with image) - A(without)||_2, from (B, H, D) to (B, H)."""
    return (with_image - without).norm(dim=-1)


def vision_heads(with_image: torch.Tensor, without: torch.Tensor) -> torch.Tensor:
    """Which heads are reinforced: those above the median of their layer, (B, H) bool.

    A head does not count (its divergence is set to 0) if its divergence and ||A(without)||^2 both
    exceed mean + standard deviation of the layer: it does not react to the image but to its
    absence.
    """
    divergence = output_distance(with_image, without)
    surge = without.square().sum(-1)
    divergence = divergence.masked_fill(_stands_out(divergence) & _stands_out(surge), 0)
    return divergence > divergence.median(-1, keepdim=True).values


def _stands_out(scores: torch.Tensor) -> torch.Tensor:
    mean, deviation = scores.mean(-1, keepdim=True), scores.std(-1, keepdim=True, correction=0)
    return scores > mean + deviation


class VHREdit(Edit):
    """One layer of VHR: heads are chosen while the prompt is read and stay chosen."""

    def __init__(self, request: Request, without: torch.Tensor) -> None:
        super().__init__(None)
        self.without, self.alpha = without, request.options["alpha"]
        self.heads: torch.Tensor | None = None

    @override
    def output(self, out: torch.Tensor, layer: int) -> torch.Tensor:
        """Scales the chosen heads in all rows."""
        if self.heads is None:
            self.heads = vision_heads(out[:, -1].float(), self.without.to(out.device))
        return torch.where(self.heads[:, None, :, None], self.alpha * out, out)


@register
class VHR(Method):
    """Vision-aware head reinforcement, arXiv 2412.13949 (ACL 2025).

    VHD_(l,h) = ||A_(l,h)(image, text) - A_(l,h)(text)||_2 at the last row of the prompt; heads with
    VHD above the median of their layer: A <- alpha A, in the second layer and the last 14 of 32,
    all rows, prompt and answer. A layer is scored after the layers before it were reinforced; the
    choice is kept for the whole answer, so that the cache fits. The pass without the image is
    plain; the paper does not say. Without the image its text moves to other positions, as in the
    paper. A large norm favours a head. More than 14 layers do harm, says the paper.

    What is recorded is the attention of the heads, which this does not change in its own layer.
    """

    name = "vhr"
    label = "VHR"
    group = Group.ATTENTION
    summary = "Doubles the heads whose output changes most when the image is taken away."
    extra_passes = 1
    options = (Option("alpha", 2, 0, 4, 0.1, "Factor on the output of chosen heads; published."),)
    identity: ClassVar = {"alpha": 1}

    @override
    def tap(self, request: Request) -> EditingTap:
        """Works on any model; answers the prompt without its image first."""
        layers = {nearest_layer(1, request.backbone), *published_layers(18, 31, request.backbone)}
        without = outputs_without_image(request)
        return EditingTap(request, {layer: VHREdit(request, without[layer]) for layer in layers})
