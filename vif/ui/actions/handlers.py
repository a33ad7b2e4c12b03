"""What the page does when a person acts, as plain functions. Knows nothing about Gradio."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vif import methods
from vif.inputs.images import open_image
from vif.model.generation import Cancelled
from vif.report import as_json
from vif.scenes import RELATIONAL, ask_scene, draw_scene, unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED
from vif.settings import Settings
from vif.trace import Trace
from vif.ui.state.form import Form, Truth
from vif.ui.state.result import MAP_SIDE, Result, View

SUGGESTIONS = 4
GENERAL_QUESTIONS = (
    "What colour is the star?",
    "How many circles do you see?",
    "Where is the moon?",
)


class Session(Protocol):
    """What the page needs of a session."""

    name: str
    num_layers: int
    adapter: Any
    defaults: Settings

    def ask(self, image: Image.Image, question: str, **options: Any) -> dict[str, Trace]:
        """Answers one question with every method asked for."""

    def token_count(self, text: str) -> int:
        """Number of tokens of a text."""


@dataclass(frozen=True)
class SceneFill:
    """A drawn scene with questions whose answers are known."""

    image: Image.Image
    truths: list[Truth]


def steering_method(session: Session) -> methods.Method:
    """Returns the form of VIF that is compared at first: without an adapter, the one without."""
    return methods.find("vif" if session.adapter is not None else "vif-free")


def answer(
    session: Session, form: Form, truths: list[Truth], cancel: threading.Event
) -> Result | None:
    """Runs the model once for every chosen method.

    Args:
        session: The loaded model.
        form: What was filled in.
        truths: Known answers of the scene on the page.
        cancel: Set by another thread to stop.

    Returns:
        The result, or None if it was stopped.

    Raises:
        InputError: What was given cannot be used; the message is fit to be shown.
    """
    form.check()
    form = form.shown(session.defaults)
    image = open_image(form.image)
    truth = form.truth_in(truths)
    options = form.asked(truth)
    try:
        traces = session.ask(image, form.question, cancel=cancel, **options)
    except Cancelled:
        return None
    renderer = getattr(getattr(session.adapter, "config", None), "renderer", "density")
    return Result.of(image, traces, truth, form, renderer)


def answer_as_json(session: Session, image: str, question: str, **options: Any) -> dict[str, Any]:
    """Runs the model for a program; see `vif.report.as_json` for the shape of what it returns."""
    return as_json(session.ask(open_image(image), question, **options))


def scene(seed: int) -> SceneFill:
    """Draws a scene of the test split with a few questions, half of them relational.

    What a relation leads to has to be searched for: there VIF changes answers, and hardly anywhere
    else. Where a scene has too few of one kind the other fills up.
    """
    drawn = draw_scene(seed)
    width, height = drawn.image.size
    relational, others = [], []
    questions = ask_scene(drawn, seed)
    for index in np.random.default_rng(seed).permutation(len(questions)):
        question = questions[index]
        boxes = tuple(
            (x0 / width, y0 / height, x1 / width, y1 / height) for x0, y0, x1, y1 in question.boxes
        )
        kind = relational if question.family in RELATIONAL else others
        kind.append(Truth(question.text, question.answer, boxes))
    count = max(SUGGESTIONS // 2, SUGGESTIONS - len(others))
    truths = relational[:count]
    return SceneFill(drawn.image, truths + others[: SUGGESTIONS - len(truths)])


def questions_of(truths: list[Truth]) -> list[str]:
    """Returns what to suggest: questions about the scene, or general ones."""
    return [truth.question for truth in truths] or list(GENERAL_QUESTIONS)


def unrelated(num_tokens: float) -> str:
    """Returns unrelated text of the asked length."""
    return unrelated_text(SHOWN_TEXT_SEED, int(num_tokens))


def view_of(
    token: int,
    layer: float,
    all_layers: bool,
    head: str,
    normalised: bool,
    palette: str,
    opacity: float,
    scale: str,
    show: str,
) -> View:
    """Returns the view that the controls describe, in the order of the page's controls."""
    return View(
        token=int(token),
        layer=None if all_layers else int(layer),
        head=int(head) if str(head).isdigit() else head,
        normalised=normalised,
        palette=palette,
        opacity=float(opacity),
        scale=scale,
        show=show,
    )


def save_files(result: Result, view: View, folder: Path) -> list[str]:
    """Writes everything needed to look at a result again without the model into a folder.

    Returns:
        Paths: one ``.npz`` per answer, ``answers.json``, ``picture.png`` and ``redraw.py``.
    """
    paths = []
    for name, trace in result.traces.items():
        paths.append(folder / f"{name}.npz")
        trace.save(paths[-1])
    answers = folder / "answers.json"
    answers.write_text(json.dumps(as_json(result.traces), indent=2), encoding="utf-8")
    picture = folder / "picture.png"
    Image.fromarray(result.picture).save(picture)
    redraw = folder / "redraw.py"
    redraw.write_text(redraw_script(result, view), encoding="utf-8")
    return [str(path) for path in (*paths, answers, picture, redraw)]


def redraw_script(result: Result, view: View) -> str:
    """Returns a program that draws the shown heatmap again from the saved files."""
    name = result.others[0] if result.others else result.baseline
    trace = result.traces[name]
    sinks = np.flatnonzero(result.sinks(name, view)).tolist() if view.show == "removed" else []
    without = f"values[{sinks}] = 0  # sinks\n" if sinks else ""
    shares = "values /= values.sum()\n" if view.normalised else ""
    return f"""import numpy as np
from PIL import Image

from vif.draw import render
from vif.trace import Trace

trace = Trace.load("{name}.npz")
picture = render.fit(Image.open("picture.png"), {MAP_SIDE})
values = render.pick_map(
    trace.rows, token={view.token_of(trace)}, layer={view.layer}, head={view.head!r}
)
{without}{shares}field = render.paint_scale(
    values, trace.cells, trace.blocks, "{view.scale}", picture.shape[:2]
)
drawn = render.overlay(picture, field, np.nanmax(field), "{view.palette}", {view.opacity:g})
Image.fromarray(drawn).save("map.png")
"""
