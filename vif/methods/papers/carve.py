"""CARVE: the question is asked again about the regions that the question makes stand out."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from PIL import Image
from typing_extensions import override

from vif.inputs.boxes import Box
from vif.methods import crops
from vif.methods.base import Group, Method, Option, Request, register
from vif.methods.edits.tap import published_layers
from vif.methods.maps.base import CONTRAST_LAYERS, SMOOTHING, ratio, visible_tokens
from vif.methods.maps.reading import answer_rows
from vif.methods.prompts import GENERIC
from vif.recording import Recorder

STEPS = 32
# Cells are split so finely before regions are found, so that their edges are smooth.
FINER = 4


def contrast(
    asked: np.ndarray, generic: np.ndarray, visible: np.ndarray, smoothing: float
) -> np.ndarray:
    """S = sum_t w_t sum_l A(Q) / (A(G) + lambda), w_t = t + 1, over the steps both answers have.

    Args:
        asked: Attention under the question, (T, L, H, N).
        generic: Under the generic question, (T', L, H, N).
        visible: Tokens that lie on the image, (N,) bool.
        smoothing: As in `vif.methods.maps.base.ratio`.

    Returns:
        (N,), >= 0.
    """
    steps = min(len(asked), len(generic))
    shown = np.broadcast_to(visible, (steps, len(visible)))
    by_step = ratio(asked[:steps], generic[:steps], shown, smoothing).sum(1)
    return np.arange(1, steps + 1) @ by_step


def regions(
    field: crops.PictureMap, share: float, count: int
) -> tuple[crops.PictureMap, np.ndarray]:
    """The connected regions of the top share of a map that hold most of it.

    Args:
        field: The map.
        share: Area of the top, in (0, 1].
        count: How many regions to keep, >= 1.

    Returns:
        The map on finer cells, and which of them are kept, (R, C) bool.
    """
    rows, columns = field.values.shape
    smooth = cv2.resize(
        field.values, (columns * FINER, rows * FINER), interpolation=cv2.INTER_CUBIC
    )
    fine = crops.PictureMap(smooth.clip(0), field.region)
    top = crops.top_cells(fine, share)
    _, labels = cv2.connectedComponents(top.astype(np.uint8), connectivity=8)
    sums = np.bincount(labels.ravel(), fine.values.ravel())
    sums[0] = -1  # label 0 is what lies below the top
    return fine, np.isin(labels, np.argsort(-sums, kind="stable")[:count]) & top


def bounds(field: crops.PictureMap, kept: np.ndarray) -> Box:
    """The smallest window around kept cells in the region's own shape, within it."""
    rows, columns = kept.shape
    down, across = np.flatnonzero(kept.any(1)), np.flatnonzero(kept.any(0))
    low = np.array([across[0] / columns, down[0] / rows])
    high = np.array([(across[-1] + 1) / columns, (down[-1] + 1) / rows])
    half = np.full(2, (high - low).max() / 2)
    middle = np.clip((low + high) / 2, half, 1 - half)
    return field.outside((*(middle - half).tolist(), *(middle + half).tolist()))


@register
class CARVE(Method):
    """CARVE, arXiv 2509.06461, read from paper and code.

    The question and a generic one are answered first; their attention over the steps both answers
    have, layers 20 to 25 of 32, gives the contrast map; its top regions are kept, everything else
    is blacked out, and the picture is cropped to them, magnified and asked about.

    Where they disagree: the answer comes from the refined picture alone (Algorithm 1; the code
    shows both); lambda is a median of A(general) (the code's 1e-8 lets cells that the generic
    question ignores blow up; 0 gives the code's); three regions are kept (the paper's best; the
    code keeps at least three, or a fifth of them). The crop is widened to the picture's own shape,
    so that nothing is squeezed and prompts of a batch keep their number of tokens.
    """

    name = "carve"
    label = "CARVE"
    group = Group.SECOND_LOOK
    summary = (
        "Answers twice to find the place that the question is about, masks and crops the "
        "picture, and asks again."
    )
    extra_passes = 2
    options = (
        SMOOTHING,
        Option("share", 0.2, 0.02, 1, 0.01, "Area that is kept; code 0.2, paper 0.2 to 0.6."),
        Option("regions", 3, 1, 20, 1, "Regions that are kept; paper 2 or 3."),
        Option("steps", STEPS, 1, 128, 1, "Longest first answer in tokens; code 32."),
    )
    identity: ClassVar = {"share": 1}

    @override
    def tap(self, request: Request) -> Recorder:
        """Two answers, then a plain answer about the refined picture."""
        options = request.options
        layers = published_layers(*CONTRAST_LAYERS, request.backbone)
        steps = int(options["steps"])
        asked = answer_rows(request, request.batch, layers, steps)
        # Steps that only one of the answers has are not compared: no need to make them.
        steps = max(len(rows) for rows in asked)
        generic = answer_rows(request, request.with_question(GENERIC), layers, steps)
        views, kept = [], []
        items = zip(request.images, request.batch.prompts, visible_tokens(request), strict=True)
        for i, (image, prompt, visible) in enumerate(items):
            weights = contrast(asked[i], generic[i], visible, options[SMOOTHING.name])
            field = crops.lay_on_picture(prompt.layout, weights)
            view, share = refine(image, field, options["share"], int(options["regions"]))
            views.append(view)
            kept.append(round(share, 6))
        recorder = crops.ask_again(request, views)
        for note, share in zip(recorder.notes, kept, strict=True):
            note["kept"] = share
        return recorder


def refine(
    image: Image.Image, field: crops.PictureMap, share: float, count: int
) -> tuple[crops.EditedPicture, float]:
    """The picture masked and cropped to its regions, and the share of its area they hold."""
    if share >= 1 or not field.values.any():
        return crops.EditedPicture(image, crops.WHOLE), 1.0
    fine, kept = regions(field, share, count)
    masked = crops.black_out(image, fine, kept)
    return crops.cut_out(masked, bounds(fine, kept), field.size(image)), float(kept.mean())
