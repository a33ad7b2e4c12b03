"""What is asked on the page as a command and as Python. Knows nothing about Gradio."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from vif.inputs.boxes import Box
from vif.ui.sharing.permalink import Link

BUNDLED = "demo-vlm"
# Of a picture that only the browser has; the zip holds it under this name.
OWN_PICTURE = "picture.png"
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


def command(link: Link, context: str = "", example: str = "", boxes: Sequence[Box] = ()) -> str:
    """Returns a line for a shell that asks the same.

    Args:
        link: What is asked.
        context: The whole text before the question.
        example: File of the example, where the link names one.
        boxes: Where the answer is, for the method that is told.
    """
    words = ["python", "-m", "vif", "ask"]
    if link.model != BUNDLED:
        words += ["--model-path", link.model]
    if link.scene is not None:
        words += ["--scene", str(link.scene)]
    else:
        words += ["--image-file", example or OWN_PICTURE]
    words += ["--query", link.question]
    words += ["--context", context] if context else []
    words += ["--methods", *link.methods]
    for name, value in link.settings.items():
        if name == "options":
            for method, own in value.items():
                words += [w for o, v in own.items() for w in ("--set", f"{method}.{o}={v:g}")]
            continue
        values = value if isinstance(value, tuple | list) else (value,)
        for flag, one in zip(_FLAGS[name], values, strict=True):
            words += [flag, str(one)]
    for box in _places(link, boxes):
        words += ["--box", *(f"{side:.4g}" for side in box)]
    return shlex.join(words)


def python(link: Link, context: str = "", example: str = "", boxes: Sequence[Box] = ()) -> str:
    """Returns a program that asks the same; arguments as in `command`."""
    is_scene = link.scene is not None
    image = f"draw_scene({link.scene}).image" if is_scene else repr(example or OWN_PICTURE)
    load = f"vif.load({link.model!r})"
    if link.model == BUNDLED:
        load = 'vif.load("assets/demo-vlm", adapter="assets/demo-vif")'
    given: dict[str, Any] = {"context": context} if context else {}
    given |= dict(link.settings)
    if "oracle" in link.methods:
        given["boxes"] = list(boxes)
    if "look" in link.methods:
        given["look"] = list(link.look)
    more = "".join(f"    {name}={value!r},\n" for name, value in given.items())
    scenes = "from vif.scenes import draw_scene\n" if is_scene else ""
    return (
        f"import vif\n{scenes}\n"
        f"session = {load}\n"
        "traces = session.ask(\n"
        f"    {image},\n    {link.question!r},\n    methods={list(link.methods)!r},\n{more})\n"
        "for name, trace in traces.items():\n"
        "    print(name, trace.answer)\n"
    )


def _places(link: Link, boxes: Sequence[Box]) -> Sequence[Box]:
    """The boxes of the command: it has one flag for what is known and for what is marked."""
    if "look" in link.methods:
        return link.look
    return boxes if "oracle" in link.methods and link.scene is None else ()
