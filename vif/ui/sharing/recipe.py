"""The question of the page as a command and as Python. Independent of Gradio."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vif.inputs.boxes import Box
from vif.ui.sharing.permalink import Link

BUNDLED = "demo-vlm"
# File name of an uploaded picture, as in the zip.
OWN_PICTURE = "picture.png"


@dataclass(frozen=True)
class Beside:
    """What was put beside a picture.

    Attributes:
        files: Names of other images, or of one video.
        place: How many images come before the picture.
        frames: How many frames of the video are shown; 0 for images.
    """

    files: tuple[str, ...]
    place: int
    frames: int = 0


_FLAGS = {
    "learning": ("--latent-learning-start", "--latent-learning-end"),
    "injection": ("--latent-apply-start", "--latent-apply-end"),
    "stride": ("--latent-layer-stride",),
    "alpha": ("--latent-bias-alpha",),
    "samples": ("--samples",),
    "seed": ("--seed",),
    "max_new_tokens": ("--max-new-tokens",),
    "phase": ("--phase",),
}


@dataclass(frozen=True)
class Recipe:
    """Everything needed to ask the same question again.

    Attributes:
        link: What a link can hold of it.
        context: The whole text before the question.
        example: File of the example, where the link names one.
        boxes: Where the answer is, for the method that is given the true place.
        beside: What was put beside the picture.
    """

    link: Link
    context: str = ""
    example: str = ""
    boxes: Sequence[Box] = ()
    beside: Beside | None = None

    def command(self) -> str:
        """Returns a line for a shell that asks the same."""
        link, beside = self.link, self.beside
        words = ["python", "-m", "vif", "ask"]
        if link.model != BUNDLED:
            words += ["--model-path", link.model]
        if beside is not None and beside.frames:
            words += ["--video", beside.files[0], "--frames", str(beside.frames)]
            words += ["--frame", str(beside.place)]
        elif link.scene is not None:
            words += ["--scene", str(link.scene)]
        else:
            words += ["--image-file", self.example or OWN_PICTURE]
        if beside is not None and not beside.frames:
            words += ["--other", *beside.files, "--place", str(beside.place)]
        words += ["--query", link.question]
        words += ["--context", self.context] if self.context else []
        words += ["--methods", *link.methods]
        for name, value in link.settings.items():
            if name == "options":
                for method, own in value.items():
                    words += [w for o, v in own.items() for w in ("--set", f"{method}.{o}={v:g}")]
                continue
            values = value if isinstance(value, tuple | list) else (value,)
            for flag, one in zip(_FLAGS[name], values, strict=True):
                words += [flag, str(one)]
        for box in self._places():
            words += ["--box", *(f"{side:.4g}" for side in box)]
        return shlex.join(words)

    def _places(self) -> Sequence[Box]:
        """The boxes of the command: it has one flag for the true place and for a marked one."""
        if "look" in self.link.methods:
            return self.link.look
        is_needed = "oracle" in self.link.methods and self.link.scene is None
        return self.boxes if is_needed else ()

    def python(self) -> str:
        """Returns a program that asks the same."""
        link, beside = self.link, self.beside
        is_scene = link.scene is not None
        image = f"draw_scene({link.scene}).image" if is_scene else repr(self.example or OWN_PICTURE)
        load = f"vif.load({link.model!r})"
        if link.model == BUNDLED:
            load = 'vif.load("assets/demo-vlm", adapter="assets/demo-vif")'
        given: dict[str, Any] = {"context": self.context} if self.context else {}
        given |= dict(link.settings)
        if "oracle" in link.methods:
            given["boxes"] = list(self.boxes)
        if "look" in link.methods:
            given["look"] = list(link.look)
        asked, imported = f"{image},\n    {link.question!r}", ""
        if is_scene and not (beside is not None and beside.frames):
            imported = "from vif.scenes import draw_scene\n"
        if beside is not None:
            about = {name: given.pop(name) for name in ("boxes", "look") if name in given}
            asked = _question(beside, image, link.question, given.pop("context", ""), about)
            imported += "from vif.inputs.video import read_frames\n" if beside.frames else ""
        more = "".join(f"    {name}={value!r},\n" for name, value in given.items())
        return (
            f"import vif\n{imported}\n"
            f"session = {load}\n"
            "traces = session.ask(\n"
            f"    {asked},\n    methods={list(link.methods)!r},\n{more})\n"
            "for name, trace in traces.items():\n"
            "    print(name, trace.answer)\n"
        )


def _question(beside: Beside, image: str, text: str, context: str, about: dict[str, Any]) -> str:
    """The question with its other images, as Python."""
    known = "".join(f", {name}={value!r}" for name, value in about.items())
    if beside.frames:
        frames = f"[f.image for f in read_frames({beside.files[0]!r}, {beside.frames})]"
        return f"vif.Question.among({frames}, {beside.place}, {text!r}, {context!r}{known})"
    rest = f"others={list(beside.files)!r}, place={beside.place}"
    return f"vif.Question({image}, {text!r}, {context!r}, {rest}{known})"
