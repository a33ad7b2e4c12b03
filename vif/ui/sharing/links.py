"""A shown result as a link, a command and a program. Independent of Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vif.errors import InputError
from vif.scenes import unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.settings import Settings
from vif.ui.sharing import permalink
from vif.ui.sharing.recipe import Beside, Recipe
from vif.ui.state.examples import PageExample
from vif.ui.state.result import Result
from vif.ui.state.saved import settings_of
from vif.ui.state.view import View


@dataclass(frozen=True)
class Shared:
    """A shown result in forms that can be shared.

    Attributes:
        link: The query of a link with its question mark, or why there is none.
        command: A line for a shell.
        python: A program.
    """

    link: str
    command: str
    python: str


def share(
    result: Result, view: View, defaults: Settings, examples: Sequence[PageExample]
) -> Shared:
    """Returns a result as a link, a command and a program.

    Args:
        result: The answers.
        view: How they are shown.
        defaults: Settings of the model that answered.
        examples: The page's examples.
    """
    link = link_of(result, view, defaults, examples)
    context = result.first.meta["context"]
    boxes = result.truth.boxes if result.truth else ()
    example = "" if link.example is None else f"assets/examples/scene-{link.example + 1}.png"
    try:
        query = f"?{link.query()}"
    except InputError as error:
        query = str(error)
    recipe = Recipe(link, context, example, boxes, _beside(result))
    return Shared(query, recipe.command(), recipe.python())


def _beside(result: Result) -> Beside | None:
    """What was put beside the picture of a result."""
    form, meta = result.form, result.first.meta
    if form is None or not form.beside or "images" not in meta:
        return None
    files = tuple(Path(path).name for path in form.beside)
    return Beside(files, meta["image"], meta["images"] if form.has_video else 0)


def link_of(
    result: Result, view: View, defaults: Settings, examples: Sequence[PageExample]
) -> permalink.Link:
    """Returns the link to a result; it cannot be opened if it names no example and no scene."""
    meta, truth, context = result.first.meta, result.truth, result.first.meta["context"]
    known = [
        i for i, one in enumerate(examples) if truth and one.truth and one.truth.same_as(truth)
    ]
    length = result.text_tokens
    text = length if context == unrelated_text(SHOWN_TEXT_SEED, length) else 0
    drawing = result.form.drawing if result.form is not None else None
    return permalink.Link(
        model=meta["model"],
        example=known[0] if known else None,
        scene=truth.scene if truth and not known else None,
        question=meta["question"],
        text=text,
        context="" if text else context,
        methods=tuple(name for name in result.traces if name != "changed"),
        settings=permalink.setting_changes(settings_of(result), defaults),
        look=drawing.boxes if drawing else (),
        view=permalink.view_changes(view),
    )
