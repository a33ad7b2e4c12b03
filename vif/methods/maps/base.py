"""Maps over image tokens, one registry (what is done with one: `vif.methods.edits`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from typing_extensions import override

from vif.adapter import VIFAdapter
from vif.adapter.mixture import MixtureParameters, render
from vif.errors import InputError
from vif.methods.base import Option, Request
from vif.methods.edits.tap import PUBLISHED_DEPTH, published_layers
from vif.methods.maps.reading import last_rows, token_dynamics
from vif.methods.prompts import GENERIC
from vif.methods.vif import MixingTap
from vif.methods.vif_free import answer_map, answer_map_options
from vif.metrics import token_entropy
from vif.model.attention import PassEnded
from vif.model.backbone import Backbone
from vif.model.generation import generate
from vif.registry import Registry

# Of the random control, in image widths: about a quarter of the image lies within two of them.
RANDOM_SIGMA = 0.14


def no_obstacle(backbone: Backbone, adapter: VIFAdapter | None) -> str:  # noqa: ARG001
    """The obstacle of a map that works with every model: ""."""
    return ""


@dataclass(frozen=True)
class Map:
    """A map over image tokens: where a method steers attention to.

    Attributes:
        name: The part of a method's name before the plus sign.
        summary: One line for a person.
        make: From a request to weights (B, N); rows sum to 1, or to 0 where nothing is known, and
            are 0 for tokens that are not on the image. Raises `InputError` if something is missing.
        extra_passes: As in `vif.methods.Method`.
        options: As in `vif.methods.Method`.
        uses_ranges: As in `vif.methods.Method`.
        place: As in `vif.methods.Method`.
        obstacle: As in `vif.methods.Method`.
    """

    name: str
    summary: str
    make: Callable[[Request], torch.Tensor]
    extra_passes: int = 0
    options: tuple[Option, ...] = ()
    uses_ranges: bool = False
    place: str = ""
    obstacle: Callable[[Backbone, VIFAdapter | None], str] = no_obstacle


MAPS: Registry[Map] = Registry("map")


def register_map(
    name: str,
    summary: str,
    extra_passes: int = 0,
    options: tuple[Option, ...] = (),
    uses_ranges: bool = False,
    place: str = "",
    obstacle: Callable[[Backbone, VIFAdapter | None], str] = no_obstacle,
) -> Callable[[Callable[[Request], torch.Tensor]], Callable[[Request], torch.Tensor]]:
    """Function decorator that registers a map; see `Map`."""

    def enter(make: Callable[[Request], torch.Tensor]) -> Callable[[Request], torch.Tensor]:
        made = Map(name, summary, make, extra_passes, options, uses_ranges, place, obstacle)
        MAPS.add(name, made)
        return make

    return enter


def visible_tokens(request: Request) -> np.ndarray:
    """Which tokens lie on the image, (B, N) bool."""
    return ~request.batch.centres.isnan().any(-1).cpu().numpy()


def normalised(request: Request, weights: np.ndarray) -> torch.Tensor:
    """Weights (B, N) as a map."""
    total = weights.sum(1, keepdims=True)
    shares = weights / np.where(total > 0, total, 1)
    return torch.from_numpy(shares).float().to(request.batch.columns.device)


class _Read(MixingTap):
    """Ends the pass after the last learning layer: nothing has been injected yet."""

    @override
    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        super().layer_output(layer, states)
        if layer == max(self.sources.values()):
            raise PassEnded


def no_adapter(backbone: Backbone, adapter: VIFAdapter | None) -> str:  # noqa: ARG001
    """Why the learned map cannot be read: no adapter is loaded; "" if one is."""
    if adapter is not None:
        return ""
    return (
        "The map 'vif' needs a VIF adapter, and none is loaded: give one with --adapter, or "
        "choose 'answers', which needs none."
    )


@register_map(
    "vif",
    "The learned mixture, averaged over the learning layers.",
    extra_passes=1,
    uses_ranges=True,
    obstacle=no_adapter,
)
def learned(request: Request) -> torch.Tensor:
    """VIF's own map, read in a pass that stops after the learning layers."""
    if request.adapter is None:
        raise InputError(no_adapter(request.backbone, None))
    tap = _Read(request, request.adapter)
    inputs = dict(request.batch.inputs)
    with suppress(PassEnded):
        generate(request.backbone.model, inputs, tap, 1, request.cancel)
    return torch.stack([mix.map for mix in tap.mixes.values()]).mean(0)


@register_map("answers", "Where the model's own likeliest answers depend on the image.", 2)
def answers(request: Request) -> torch.Tensor:
    """The map of training-free VIF."""
    return answer_map(request, answer_map_options(request)).to(request.batch.centres)


@register_map("dynamics", "Tokens whose attention varies over layers (AIF).", extra_passes=1)
def dynamics(request: Request) -> torch.Tensor:
    """1 - Ent_i / ln L: a token counts the more, the fewer layers look at it."""
    found = token_dynamics(request)
    importance = 1 - token_entropy(found) / np.log(max(found.shape[1], 2))
    return normalised(request, importance.clip(0) * visible_tokens(request))


@register_map(
    "relative",
    "Attention under the question divided by attention under a generic one, in one layer (ViCrop).",
    extra_passes=2,
    options=(
        Option("layer", 14, 0, PUBLISHED_DEPTH - 1, 1, "Layer of 32, scaled; LLaVA-1.5: 14."),
    ),
)
def relative(request: Request) -> torch.Tensor:
    """ViCrop's ratio (arXiv 2502.17422): last prompt row, mean over heads, one layer, raw.

    A token that the generic question ignores can outshine all others: the published ratio has no
    floor, unlike `contrast`. Published: layer 14 of 32 for LLaVA-1.5, 22 of 28 (25 of 32) for
    Qwen2.5-VL.
    """
    layer = int(request.options["layer"])
    layers = published_layers(layer, layer, request.backbone)[:1]
    asked, generic = (
        last_rows(request, batch, layers)
        for batch in (request.batch, request.with_question(GENERIC))
    )
    visible = visible_tokens(request)
    return normalised(request, ratio(asked, generic, visible, 0).sum(1))


SMOOTHING = Option(
    "smoothing", 1, 0, 10, 0.1, "Lambda, in medians of A(general); the code's 1e-8 is nearly 0."
)
CONTRAST_LAYERS = (20, 25)


@register_map(
    "contrast",
    "The same ratio with a floor, summed over deep layers (CARVE).",
    extra_passes=2,
    options=(SMOOTHING,),
)
def contrast(request: Request) -> torch.Tensor:
    """CARVE's contrast (arXiv 2509.06461) of the last prompt row, layers 20 to 25 of 32."""
    layers = published_layers(*CONTRAST_LAYERS, request.backbone)
    asked, generic = (
        last_rows(request, batch, layers)
        for batch in (request.batch, request.with_question(GENERIC))
    )
    smoothing = request.options[SMOOTHING.name]
    return normalised(request, ratio(asked, generic, visible_tokens(request), smoothing).sum(1))


def ratio(
    asked: np.ndarray, generic: np.ndarray, visible: np.ndarray, smoothing: float
) -> np.ndarray:
    """A(question) / (A(general) + lambda), head means, (B, L, N).

    Lambda is `smoothing` medians of A(general) over the visible tokens of a layer. CARVE's code
    adds 1e-8, so that a token the general question ignores blows up; its paper leaves lambda open.

    Args:
        asked: (B, L, H, N).
        generic: (B, L, H, N).
        visible: (B, N) bool; other tokens get 0.
        smoothing: >= 0.
    """
    asked, generic = (rows.astype(np.float64).mean(2) for rows in (asked, generic))
    known = visible[:, None]
    typical = np.nanmedian(np.where(known, generic, np.nan), -1, keepdims=True)
    return np.where(known, asked / (generic + smoothing * typical).clip(1e-8), 0)


@register_map("look", "The box or brush strokes that you drew.", place="look")
def look(request: Request) -> torch.Tensor:
    """The place that the user marked."""
    if request.look is None:
        raise InputError("The map 'look' needs a place: draw a box or paint on the image.")
    return request.look


@register_map("uniform", "Everywhere alike.")
def uniform(request: Request) -> torch.Tensor:
    """1 / N on tokens that lie on the image."""
    return normalised(request, visible_tokens(request).astype(float))


@register_map("random", "Control: a single random place.")
def scattered(request: Request) -> torch.Tensor:
    """One Gaussian at a random place; see `Request.generators`."""
    centres = request.batch.centres
    means = np.stack([rng.random((1, 2)) for rng in request.generators()])
    sigmas = centres.new_full((len(means), 1), RANDOM_SIGMA)
    places = torch.from_numpy(means).to(centres)
    return render(MixtureParameters(places, sigmas, torch.ones_like(sigmas)), centres)


@register_map("truth", "The true box.", place="truth")
def truth(request: Request) -> torch.Tensor:
    """Where the answer is known to be."""
    if request.truth is None:
        raise InputError("The map 'truth' needs the true boxes: give boxes=[(x0, y0, x1, y1)].")
    return request.truth
