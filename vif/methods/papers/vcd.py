"""VCD: subtracts the logits for a noised image. A control that leaves attention alone."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from typing_extensions import override

from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.guidance import GuidedTap, mask_logits, plausible
from vif.methods.prompts import refuse_several
from vif.model.batch import Batch
from vif.model.prompt import Prompt

DIFFUSION_STEPS = 1000


def diffuse(pixels: torch.Tensor, step: int, seed: int) -> torch.Tensor:
    """Pixels after some steps of a diffusion, sqrt(a) x + sqrt(1 - a) noise.

    Args:
        pixels: As the image processor gives them, any shape.
        step: 0 (hardly any noise) to 999; betas run from 1e-5 to 5e-3 along a sigmoid.
        seed: Of the noise.
    """
    betas = torch.linspace(-6, 6, DIFFUSION_STEPS).sigmoid() * (5e-3 - 1e-5) + 1e-5
    kept = (1 - betas).cumprod(0)[step]
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
    return kept.sqrt() * pixels + (1 - kept).sqrt() * noise.to(pixels)


class VCDTap(GuidedTap):
    """Guided by a branch that sees the noised image."""

    @override
    def combine(self, logits: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:
        options = self.request.options
        guided = (1 + options["alpha"]) * logits - options["alpha"] * others[0]
        return mask_logits(guided, plausible(logits, options["beta"]))


@register
class VCD(Method):
    """Visual Contrastive Decoding, arXiv 2311.16922 (CVPR 2024), read from its code.

    Logits are (1 + alpha) l(v) - alpha l(v'), v' the image after 500 of 1000 diffusion steps, among
    tokens of at least beta times the best one's probability. The scripts' alpha of 1 and beta of
    0.1 are taken (the code falls back to 0.5 and 0.1). Answers are greedy here as everywhere, not
    sampled.
    """

    name = "vcd"
    label = "VCD"
    group = Group.DECODING
    summary = "Control: subtracts the logits for a noised image; does not change attention."
    branches = 1
    options = (
        Option("alpha", 1, 0, 3, 0.1, "Strength of the contrast; published."),
        Option("beta", 0.1, 0, 1, 0.01, "Smallest share of the highest probability; published."),
        Option("step", 500, 0, DIFFUSION_STEPS - 1, 1, "Diffusion steps of 1000; published."),
    )
    identity: ClassVar = {"alpha": 0, "beta": 0}

    @override
    def tap(self, request: Request) -> VCDTap:
        """Opens the branch; the noise depends on the seed and is the same for all prompts."""
        step, seed = int(request.options["step"]), request.settings.seed

        def noised(prompt: Prompt) -> Prompt:
            refuse_several(prompt, "Noise on the image")
            pixels = diffuse(prompt.inputs["pixel_values"], step, seed)
            return replace(prompt, inputs=prompt.inputs | {"pixel_values": pixels})

        prompts = [noised(prompt) for prompt in request.batch.prompts]
        return VCDTap(request, [Batch.make(request.backbone, prompts).inputs])
