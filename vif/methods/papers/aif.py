"""AIF: text no longer sees the image tokens that all layers attend to equally."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from vif.errors import InputError
from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.base import cut_tokens
from vif.methods.maps.base import normalised, visible_tokens
from vif.methods.maps.reading import token_dynamics
from vif.metrics import token_entropy
from vif.recording import Recorder

STEP = 0.1


def entropy(weights: np.ndarray) -> float:
    """Entropy of weights (N,) after they are made to sum to 1, in nats; 0 where all are 0."""
    shares = weights[weights > 0] / max(weights.sum(), 1e-12)
    return float(-(shares * np.log(shares)).sum())


def search(
    mean: np.ndarray, spread: np.ndarray, least: float, most: float
) -> tuple[float, np.ndarray]:
    """The ratio of tokens to cut that changes the entropy of the mean dynamics most.

    argmax_r |S(r) - S_0|, S(r) the entropy of the normalised mean over the tokens that are kept
    when the r N of highest entropy are cut. On many maps it is the largest ratio searched.

    Args:
        mean: mu_i, (N,).
        spread: Ent_i, (N,).
        least: First ratio; then in steps of 0.1.
        most: Last ratio.

    Returns:
        The ratio, the least of equals, and which tokens are cut, (N,) bool.
    """
    order = np.argsort(-spread, kind="stable")
    found = []
    for ratio in np.arange(least, most + STEP / 2, STEP):
        kept = order[round(ratio * len(order)) :]
        found.append((abs(entropy(mean[kept]) - entropy(mean)), float(ratio)))
    ratio = max(found, key=lambda pair: (round(pair[0], 9), -pair[1]))[1]
    dropped = np.zeros(len(mean), bool)
    dropped[order[: round(ratio * len(order))]] = True
    return ratio, dropped


@register
class AIF(Method):
    """Adaptive Information Flow, arXiv 2604.15809 (CVPR 2026), from its description: no code.

    A profiling prefill and one decoded token record how much text looks at every image token in
    every layer; the tokens of highest entropy over layers are cut off from text, in all layers and
    heads. Image tokens still see each other.

    Left open by the paper and chosen here: heads are averaged before the maximum over rows; text
    is every row after the image (earlier rows see none of it); the cut holds for generated rows
    too; tokens that lie on no part of the picture (row breaks, padding) are neither scored nor cut.

    The published score is monotone in the ratio on nearly every map, so that the search ends at its
    largest ratio (0.9) whatever the picture; ``ratio`` cuts a fixed share instead.
    """

    name = "aif"
    label = "AIF"
    group = Group.ATTENTION
    summary = (
        "Text no longer sees image tokens that all layers attend to equally, mostly 90 % of them."
    )
    extra_passes = 1
    options = (
        Option(
            "ratio",
            0,
            0,
            0.95,
            0.05,
            "Fixed share to cut; 0 searches, and mostly ends at the largest.",
        ),
        Option("least", 0.1, 0, 0.9, 0.1, "Smallest share to cut that is tried; published 0.1."),
        Option("most", 0.9, 0, 0.9, 0.1, "Largest share to cut that is tried; published 0.9."),
    )
    identity: ClassVar = {"least": 0, "most": 0}

    @override
    def tap(self, request: Request) -> Recorder:
        """Profiles attention over layers, searches the share to cut, and cuts it."""
        fixed = request.options["ratio"]
        least, most = (fixed or request.options[name] for name in ("least", "most"))
        if least > most:
            raise InputError(
                f"aif.least is {least:g} and aif.most {most:g}: expected the first to be at "
                "most the second."
            )
        found = token_dynamics(request)
        visible = visible_tokens(request)
        mean, spread = found.mean(1), token_entropy(found)
        ratios, dropped = [], np.zeros(visible.shape, bool)
        for i, on_image in enumerate(visible):
            ratio, cut = search(mean[i, on_image], spread[i, on_image], least, most)
            dropped[i, on_image] = cut
            ratios.append(ratio)
        importance = 1 - spread / np.log(max(found.shape[1], 2))
        tap = cut_tokens(request, dropped, normalised(request, importance.clip(0) * visible))
        for note, ratio in zip(tap.notes, ratios, strict=True):
            note["ratio"] = round(ratio, 6)
        return tap
