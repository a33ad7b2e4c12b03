"""Edits of attention by a map over image tokens, in one registry (maps: `vif.methods.maps`).

A prompt whose map is zero everywhere, because nothing is known about it, is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from typing_extensions import override

from vif.adapter.mixture import MixtureParameters
from vif.methods import crops
from vif.methods.base import Option, Request
from vif.methods.edits.tap import EditingTap
from vif.methods.given import GivenTap
from vif.model.edits import Edit, Rows
from vif.recording import Recorder
from vif.registry import Registry

Make = Callable[[Request, torch.Tensor], Recorder]


@dataclass(frozen=True)
class EditSpec:
    """One way to use a map.

    Attributes:
        name: The part of a method's name after the plus sign.
        summary: One line for a person.
        make: From a request and a map (B, N) to the tap that carries it out.
        options: As in `vif.methods.Method`.
        identity: As in `vif.methods.Method`.
        uses_ranges: As in `vif.methods.Method`.
    """

    name: str
    summary: str
    make: Make
    options: tuple[Option, ...] = ()
    identity: Mapping[str, float] | None = None
    uses_ranges: bool = False


EDITS: Registry[EditSpec] = Registry("edit")


def register_edit(
    name: str,
    summary: str,
    *options: Option,
    identity: Mapping[str, float] | None = None,
    uses_ranges: bool = False,
) -> Callable[[Make], Make]:
    """Function decorator that registers an edit; see `EditSpec`."""

    def enter(make: Make) -> Make:
        EDITS.add(name, EditSpec(name, summary, make, options, identity, uses_ranges))
        return make

    return enter


class MapEdit(Edit):
    """Edits rows after the image by a weight for every image token.

    Attributes:
        columns: Positions of the image tokens, (B, N).
        values: One number per image token, (B, N).
    """

    def __init__(self, request: Request, values: torch.Tensor) -> None:
        super().__init__(request.batch.first_row)
        self.columns, self.values = request.batch.columns, values

    def laid(self, rows: Rows) -> torch.Tensor:
        """The numbers over all keys, (B, 1, 1, K)."""
        return rows.spread(self.values.to(rows.key.device), self.columns)


@register_edit(
    "mix", "A share alpha of deep attention is replaced by the map (VIF).", uses_ranges=True
)
def mix(request: Request, weights: torch.Tensor) -> Recorder:
    """VIF's edit, at alpha itself on all heads of the injection layers."""
    nothing = weights[:, :0]
    none = MixtureParameters(request.batch.centres[:, :0], nothing, nothing)
    return GivenTap(request, lambda *_: (none, weights))


class Bias(MapEdit):
    """e_j + b_j."""

    @override
    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        return logits + self.laid(rows)


@register_edit(
    "bias",
    "Logits of deep layers are raised by the map.",
    Option(
        "beta", 2, 0, 10, 0.1, "Added to the logit where the map is highest; chosen, not published."
    ),
    identity={"beta": 0},
    uses_ranges=True,
)
def bias(request: Request, weights: torch.Tensor) -> Recorder:
    """b_j = beta * map_j / max_k map_k, at the injection layers.

    Linear in the map, so that beta is what its peak gains and a token off the map gains nothing;
    the logarithm of the map, the other natural choice, is unbounded below.
    """
    values = request.options["beta"] * weights / weights.amax(1, keepdim=True).clamp_min(1e-12)
    return edited(request, weights, Bias(request, values), request.settings.injection_layers)


class Scale(MapEdit):
    """a_j (1 + g_j), renormalised."""

    @override
    def weights(self, weights: torch.Tensor, rows: Rows) -> torch.Tensor:
        scaled = weights * (1 + self.laid(rows))
        return scaled / scaled.sum(-1, keepdim=True)


@register_edit(
    "scale",
    "Attention of deep layers to the image is multiplied by the map.",
    Option("gamma", 1, 0, 10, 0.1, "1 doubles attention under a flat map; chosen, not published."),
    identity={"gamma": 0},
    uses_ranges=True,
)
def scale(request: Request, weights: torch.Tensor) -> Recorder:
    """a_j <- a_j (1 + gamma N map_j), rows renormalised, at the injection layers.

    N counts the tokens that lie on the image: under a flat map every factor is 1 + gamma.
    """
    number = (~request.batch.centres.isnan().any(-1)).sum(1, keepdim=True)
    values = request.options["gamma"] * number * weights
    return edited(request, weights, Scale(request, values), request.settings.injection_layers)


class Cut(MapEdit):
    """Edges to tokens with a value above 0 are removed."""

    @override
    def logits(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        return logits.masked_fill(self.laid(rows) > 0, float("-inf"))


@register_edit(
    "cut",
    "Text no longer sees the image tokens with the lowest map values, in all layers (AIF).",
    Option("ratio", 0.5, 0, 0.95, 0.05, "Share of image tokens to cut; AIF searches 0.1 to 0.9."),
    identity={"ratio": 0},
)
def cut(request: Request, weights: torch.Tensor) -> Recorder:
    """Cuts edges from text and generated rows to that share of the tokens on the image."""
    return cut_tokens(request, least_tokens_of(request, weights), weights)


def least_tokens_of(request: Request, weights: torch.Tensor) -> np.ndarray:
    """Which tokens are the least share of every map, as option ``ratio`` says, (B, N) bool."""
    points, ratio = request.batch.centres.cpu().numpy(), request.options["ratio"]
    pairs = zip(weights.cpu().numpy(), points, strict=True)
    return np.stack([least_tokens(*pair, ratio) for pair in pairs])


def least_tokens(weights: np.ndarray, points: np.ndarray, ratio: float) -> np.ndarray:
    """Which tokens are the least share of a map, (N,) bool; tokens off the image never are."""
    dropped = np.zeros(len(weights), bool)
    on_image = np.flatnonzero(~np.isnan(points).any(1))
    if weights.any():
        order = on_image[crops.ranked(weights[on_image], points[on_image])]
        dropped[order[len(order) - round(ratio * len(order)) :]] = True
    return dropped


def cut_tokens(request: Request, dropped: np.ndarray, weights: torch.Tensor) -> Recorder:
    """Removes edges from text and generated rows to image tokens, in all layers and heads.

    Args:
        request: Of the method.
        dropped: Which image tokens, (B, N) bool.
        weights: The map that chose them, (B, N), for the notes.
    """
    layers = range(request.backbone.num_layers)
    return edit_tokens(request, Cut, dropped, weights, layers, "cut")


def edit_tokens(
    request: Request,
    edit: type[MapEdit],
    chosen: np.ndarray,
    weights: torch.Tensor,
    layers: Iterable[int],
    note: str,
) -> Recorder:
    """A tap that edits attention on some image tokens.

    Args:
        request: Of the method.
        edit: Made with 1 on the chosen tokens and 0 on the others.
        chosen: Which image tokens, (B, N) bool.
        weights: The map that chose them, (B, N), for the notes.
        layers: Where they are edited.
        note: Under which name their number is noted.
    """
    marked = torch.from_numpy(chosen).float().to(weights.device)
    tap = edited(request, weights, edit(request, marked), layers)
    add_notes(tap, [{note: int(count)} for count in chosen.sum(1)])
    return tap


@register_edit(
    "crop",
    "The part of the picture with most of the map is magnified, and the question asked again.",
    Option("share", 0.25, 0.02, 1, 0.01, "Area of that part; chosen, not published."),
    identity={"share": 1},
)
def crop(request: Request, weights: torch.Tensor) -> Recorder:
    """Asks about a window in the picture's own shape, magnified to the picture's own size.

    The window has the shape of what the model sees of the picture, so that the second look has as
    many tokens as the first and prompts of a batch may have different windows.
    """
    views = []
    for image, field in fields_of(request, weights):
        box = crops.WHOLE
        if field.values.any() and request.options["share"] < 1:
            box = crops.fullest_window(field, request.options["share"])
        views.append(crops.cut_out(image, box, field.size(image)))
    return crops.ask_again(request, views)


@register_edit(
    "mask",
    "Everything outside the map is blacked out, and the question asked again.",
    Option("share", 0.5, 0.02, 1, 0.01, "Area that stays visible; chosen, not published."),
    identity={"share": 1},
)
def mask(request: Request, weights: torch.Tensor) -> Recorder:
    """Keeps the top share of the picture by the map."""
    views, kept = [], []
    for image, field in fields_of(request, weights):
        share = request.options["share"] if field.values.any() else 1.0
        cells = crops.top_cells(field, share)
        views.append(crops.EditedPicture(crops.black_out(image, field, cells), crops.WHOLE))
        kept.append({"kept": round(float(cells.mean()), 6)})
    recorder = crops.ask_again(request, views)
    add_notes(recorder, kept)
    return recorder


def fields_of(
    request: Request, weights: torch.Tensor
) -> list[tuple[Image.Image, crops.PictureMap]]:
    """Every prompt's picture with its map laid on it."""
    prompts = zip(request.images, request.batch.prompts, weights.cpu().numpy(), strict=True)
    return [
        (image, crops.lay_on_picture(prompt.layout, values)) for image, prompt, values in prompts
    ]


def edited(
    request: Request, weights: torch.Tensor, edit: Edit, layers: Iterable[int]
) -> EditingTap:
    """A tap that edits some layers by a map, and keeps the map in the notes."""
    tap = EditingTap(request, dict.fromkeys(layers, edit))
    add_notes(tap, [{"map": row} for row in weights.double().cpu().numpy().round(6).tolist()])
    return tap


def add_notes(tap: Recorder, notes: Sequence[Mapping[str, Any]]) -> None:
    """Adds entries to the notes that a tap keeps for each prompt."""
    for known, new in zip(tap.notes, notes, strict=True):
        known.update(new)
