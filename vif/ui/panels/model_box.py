"""The box that loads another model for one browser tab."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.ui.actions.handlers import Session
from vif.ui.actions.kinds import QUICK
from vif.ui.actions.redraw import notice
from vif.ui.actions.showing import no_files
from vif.ui.html.cards import empty_cards
from vif.ui.panels.choice import chosen_for
from vif.ui.panels.controls import header
from vif.ui.state.examples import plan_strip
from vif.ui.theme import html_block
from vif.ui.wiring import Wiring

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_NEWS = 1.0
_NOTE = (
    '<p class="vl-small">For this browser tab only, until the page is loaded again. Without an '
    "adapter VIF is training-free.</p>"
)
_FAILED = "The model could not be loaded; the log of the program has more."


@dataclass(frozen=True)
class ModelBox:
    """The components of the box."""

    name: gr.Textbox
    adapter: gr.Textbox
    look_up: gr.Button
    load: gr.Button
    message: gr.HTML


def build_model_box() -> ModelBox:
    """Builds the box, folded up."""
    with gr.Accordion("Another model", open=False, elem_id="model-box"):
        name = gr.Textbox(
            label="Model",
            placeholder="llava-hf/llava-1.5-7b-hf, or a folder",
            lines=1,
            max_lines=1,
            elem_id="model-name",
        )
        adapter = gr.Textbox(
            label="VIF adapter (optional)",
            placeholder="folder or Hub name",
            lines=1,
            max_lines=1,
            elem_id="adapter-name",
        )
        with gr.Row(elem_classes="vl-run"):
            look_up = gr.Button("Look up", size="sm", min_width=70, elem_id="look-up")
            load = gr.Button("Load", size="sm", min_width=70, elem_id="load-model")
        message = html_block(elem_id="model-message", elem_classes="vl-message")
        html_block(_NOTE)
    return ModelBox(name, adapter, look_up, load, message)


def connect_model_box(box: ModelBox, wiring: Wiring, title: gr.HTML) -> None:
    """Looking up, and loading: all that depends on the model follows it."""
    c = wiring.controls
    looked = gr.on(
        [box.look_up.click, box.name.submit],
        partial(look_up, wiring),
        [box.name],
        [box.message],
        show_progress="hidden",
        api_visibility="private",
    )
    looked.failure(lambda: fail()[-1], None, [box.message], **QUICK)
    outputs = [box.message, box.load, c.run, wiring.key, *_following(wiring, title)]
    loading = box.load.click(
        partial(load, box, wiring, title),
        [box.name, box.adapter, wiring.cancel, c.methods],
        outputs,
        # As many tabs as like may wait; the shelf loads one model after the other.
        concurrency_limit=None,
        trigger_mode="once",
        show_progress="hidden",
        api_visibility="private",
    )
    # After an exception the page runs "failure" alone (Gradio 6.31).
    loading.then(rest, None, [box.load, c.run], **QUICK)
    loading.failure(fail, None, [box.load, c.run, box.message], **QUICK)


def rest() -> tuple[gr.Button, gr.Button]:
    """The buttons when nothing is loaded."""
    return gr.Button("Load", interactive=True), gr.Button(interactive=True)


def fail() -> tuple[gr.Button, gr.Button, str]:
    """The buttons and the message after an error that nobody foresaw."""
    return *rest(), notice(_FAILED, is_problem=True)


def look_up(wiring: Wiring, name: str) -> str:
    """What loading would download, or why it cannot be."""
    try:
        return notice(wiring.shelf.look_up(name))
    except InputError as error:
        return notice(str(error), is_problem=True)


def load(
    box: ModelBox,
    wiring: Wiring,
    title: gr.HTML,
    name: str,
    adapter: str,
    cancel: threading.Event | None,
    chosen: list[str],
) -> Iterator[dict[Any, Any]]:
    """Loads a model with news every second; a problem leaves the old one in place."""
    try:
        size = wiring.shelf.look_up(name)
        future = wiring.shelf.begin(name, adapter)
    except InputError as error:
        yield {box.message: notice(str(error), is_problem=True)}
        return
    if cancel is not None:
        # An answer of the old model would otherwise arrive after the new one.
        cancel.set()
    started = time.monotonic()
    while not future.done():
        words = f"{size} Loading, {time.monotonic() - started:.0f} s so far."
        yield {
            box.message: notice(words),
            box.load: gr.Button("Loading…", interactive=False),
            wiring.controls.run: gr.Button(interactive=False),
        }
        wait([future], _SECONDS_BETWEEN_NEWS)
    error = future.exception()
    if error is not None:
        if not isinstance(error, InputError):
            _log.error("Loading %s failed.", name, exc_info=error)
        words = str(error) if isinstance(error, InputError) else _FAILED
        yield {box.message: notice(words, is_problem=True)}
        return
    key = future.result()
    session = wiring.shelf.get(key)
    done = notice(f"{session.name} is loaded for this tab, {session.num_layers} layers.")
    yield {box.message: done, wiring.key: key, **followed(wiring, title, session, chosen)}


def _following(wiring: Wiring, title: gr.HTML) -> list[Any]:
    """The components that follow the model."""
    c, r = wiring.controls, wiring.results
    states = [wiring.result, wiring.token, wiring.chosen, wiring.changes]
    shown = [r.layer, r.body, r.cards, r.files, r.script]
    return [title, c.methods, c.plan, *c.form[4:11], *shown, *states]


def followed(wiring: Wiring, title: gr.HTML, session: Session, chosen: list[str]) -> dict[Any, Any]:
    """Everything that follows the model; answers of another one go."""
    defaults = session.defaults
    plan = plan_strip(session.num_layers, defaults.learning, defaults.injection, defaults.stride)
    ranges = [gr.Number(value) for value in (*defaults.learning, *defaults.injection)]
    updates = [
        header(session),
        chosen_for(session, chosen),
        plan,
        *ranges,
        gr.Number(defaults.stride),
        gr.Slider(value=defaults.alpha),
        gr.Slider(value=defaults.samples, visible=session.adapter is not None),
        gr.Slider(value=defaults.injection[1], maximum=session.num_layers - 1),
        gr.Column(visible=False),
        empty_cards(),
        *no_files(wiring.results).values(),
        None,
        0,
        None,
        {},
    ]
    return dict(zip(_following(wiring, title), updates, strict=True))
