"""Asks the model the question of the form, as plain functions. Independent of Gradio."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from vif import methods
from vif.inputs.images import open_image
from vif.model.generation import Cancelled
from vif.report import as_json
from vif.session import Session
from vif.ui.state.form import Form, Truth
from vif.ui.state.result import Result

BUNDLED_MODEL = "demo-vlm"
# The note on answers about a picture that the bundled model was not trained for.
ONLY_SCENES = (
    "This model was trained only on drawn scenes: its answers about any other picture are "
    "meaningless."
)


def steering_method(session: Session) -> methods.Method:
    """Returns the form of VIF to compare first; without an adapter, the training-free one."""
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
    image = open_image(form.picture)
    truth = form.truth_in(truths)
    options = form.ask_options(truth)
    known = {name: options.pop(name) for name in ("context", "boxes", "look") if name in options}
    question = form.about(image=image, **known)
    try:
        traces = session.ask(question, cancel=cancel, **options)
    except Cancelled:
        return None
    return Result.of(
        image,
        traces,
        truth,
        form,
        getattr(getattr(session.adapter, "config", None), "renderer", "density"),
        session.token_count(form.context) if form.context else 0,
        note=ONLY_SCENES if is_bundled(session) and not form.truths_of(truths) else "",
    )


def is_bundled(session: Session) -> bool:
    """Whether the model is the small one that ships with the page."""
    return Path(session.name).name == BUNDLED_MODEL


def answer_as_json(session: Session, image: str, question: str, **options: Any) -> dict[str, Any]:
    """Runs the model for a program; see `vif.report.as_json` for the shape of what it returns."""
    return as_json(session.ask(open_image(image), question, **options))
