"""Patch Matters: parts of the picture are described first, and read before the question."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

from typing_extensions import override

from vif.methods import crops
from vif.methods.base import Group, Method, Option, Request, register
from vif.model.attention import Tap
from vif.model.batch import Batch
from vif.model.generation import generate
from vif.model.prompt import Prompt
from vif.recording import Recorder

PROMPT = "Describe this part of the picture."
# Left and right, upper and lower half of either side.
NAMES = ("top left", "top right", "bottom left", "bottom right")


@register
class PatchMatters(Method):
    """Patch Matters, arXiv 2504.06666 (CVPR 2025): divide, then aggregate; from its abstract.

    The four quarters of the picture are magnified and described by the model; the descriptions
    stand before the question about the whole picture, in place of the caption into which a language
    model merges them there.

    Left out, as they need other models: parts found by an object detector, and the filter that
    compares what several descriptions say. The prompt is ours.
    """

    name = "patch-matters"
    label = "Patch Matters"
    group = Group.SECOND_LOOK
    summary = (
        "The model first describes the four quarters of the picture, then reads the descriptions."
    )
    extra_passes = len(NAMES)
    options = (Option("words", 24, 0, 128, 1, "Longest description in tokens; chosen, 0 is none."),)
    identity: ClassVar = {"words": 0}

    @override
    def tap(self, request: Request) -> Recorder:
        """Describes quarter by quarter, all prompts of a batch together."""
        longest = int(request.options["words"])
        if longest == 0:
            return Recorder(request.batch)
        told: list[list[str]] = [[] for _ in request.images]
        for name, (row, column) in zip(NAMES, product((0, 1), (0, 1)), strict=True):
            box = (column / 2, row / 2, (column + 1) / 2, (row + 1) / 2)
            for own, words in zip(told, _describe(request, box, longest), strict=True):
                own.append(f"{name}: {words}")
        prompts = [
            _with_context(request, prompt, i, "; ".join(told[i]))
            for i, prompt in enumerate(request.batch.prompts)
        ]
        tap = Recorder(Batch.make(request.backbone, prompts))
        for note, own in zip(tap.notes, told, strict=True):
            note["described"] = own
        return tap


def _describe(request: Request, box: crops.Box, longest: int) -> list[str]:
    """What the model says about one part of every picture."""
    backbone = request.backbone
    views = [crops.cut_out(image, box, image.size).image for image in request.images]
    # Alone: crops may differ in their number of tokens.
    said = []
    for view in views:
        inputs = backbone.collate([backbone.encode(view, PROMPT)])
        found = generate(backbone.model, inputs, Tap(), longest, request.cancel)
        ids = [int(step[0]) for step in found.tokens[: int(found.finished_at[0])]]
        said.append(backbone.processor.tokenizer.decode(ids, skip_special_tokens=True).strip())
    return said


def _with_context(request: Request, prompt: Prompt, i: int, told: str) -> Prompt:
    context = " ".join(filter(None, (told, prompt.context)))
    return request.backbone.vary(prompt, request.images[i], context=context)
