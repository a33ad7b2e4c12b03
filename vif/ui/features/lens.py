"""The tab of the logit lens: the words of a clicked place, and the answers that read it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.probes import patch_lens
from vif.session import Session
from vif.ui.actions.events import SLOW
from vif.ui.actions.probe_runs import call_of
from vif.ui.actions.problems import STOPPED, attempt
from vif.ui.html.lens import lens_html
from vif.ui.html.templates import notice
from vif.ui.state.result import Result
from vif.ui.tab import Data
from vif.ui.theme import html_block, script
from vif.ui.wiring import Wiring
from vif.ui.zero import run_model

TAB = "lens"
TOP = 3
_NOTE = (
    '<p class="vl-note">Click a place on a map above, or press Enter on a map for its '
    "strongest token, to see which words that image token stands for, layer by layer (logit "
    "lens), and how much each token of each answer reads it.</p>"
)


def build_lens() -> gr.HTML:
    """Builds the place of the words."""
    html_block(_NOTE)
    return html_block(js_on_load=script("lens.js"), elem_id="lens-place")


def connect_lens(place: gr.HTML, wiring: Wiring) -> None:
    """A click on a map opens the tab and reads that token's states."""
    c = wiring.controls

    def show(data: Data, event: gr.EventData) -> Iterator[dict[Any, Any]]:
        cancel = threading.Event()
        result: Result | None = data[wiring.result]
        if result is None:
            yield {place: ""}
            return
        tabs = {wiring.answers.tabs: gr.Tabs(selected=TAB)}
        yield {**wiring.busy(cancel), place: notice("The token is being read."), **tabs}
        session = wiring.session_of(data[wiring.key])
        found, problem = attempt(lambda: lens_of(session, result, event._data, cancel))
        yield {c.message: "", place: found or problem or STOPPED}

    inputs: set[Any] = {wiring.key, wiring.result}
    outputs = [c.run, c.stop, c.message, wiring.cancel, place, wiring.answers.tabs]
    picked = wiring.answers.answers.select
    wiring.settle(picked(show, inputs, outputs, show_progress_on=place, **SLOW))


def lens_of(session: Session, result: Result, picked: Any, cancel: threading.Event) -> str:
    """The words of a place, and the answers that read it, as HTML.

    Args:
        session: The model.
        result: The shown answers.
        picked: What the browser sent: ``x`` and ``y`` in [0, 1] of the picture.
        cancel: Stops it.

    Raises:
        InputError: If no token sees the place.
    """
    place = place_of(picked)
    question = call_of(session, result, result.baseline).question
    found = run_model(session, patch_lens, question, place, top=TOP, cancel=cancel)
    return lens_html(found, result, place)


def place_of(picked: Any) -> tuple[float, float]:
    """Reads a place that the browser sent.

    Raises:
        InputError: If it is no place on the picture.
    """
    values = [picked.get(name) for name in ("x", "y")] if isinstance(picked, dict) else []
    numbers = [
        float(v)
        for v in values
        if isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= 1
    ]
    if len(numbers) != 2:
        raise InputError("A click must give x and y, two numbers from 0 to 1.")
    x, y = numbers
    return x, y
