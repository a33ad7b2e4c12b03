"""The box that loads another model for one browser tab."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from vif import bundled
from vif.errors import InputError
from vif.model.checkpoints.catalogue import CATALOGUE
from vif.model.checkpoints.loading import readable_size
from vif.session import Session
from vif.ui.actions.events import QUICK, reset_buttons
from vif.ui.html.strips import plan_strip
from vif.ui.html.templates import notice
from vif.ui.panels.choice import menu_for
from vif.ui.panels.controls import header
from vif.ui.state.shelf import Key, Shelf
from vif.ui.theme import html_block
from vif.ui.wiring import Wiring

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_NEWS = 1.0
_NOTE = (
    '<p class="vl-small">For this browser tab only. Without an adapter VIF is training-free.</p>'
)
_FAILED = "The model could not be loaded; see the server log."


@dataclass(frozen=True)
class ModelBox:
    """The components of the box."""

    name: gr.Dropdown
    adapter: gr.Textbox
    look_up: gr.Button
    load: gr.Button
    back: gr.Button
    message: gr.HTML


def build_model_box(models: Sequence[Key] = (), takes_any: bool = True) -> ModelBox:
    """Builds the box, folded up.

    Args:
        models: Names, with their adapters, that the menu begins with.
        takes_any: Whether other models may be named too; the menu then lists some.
    """
    names = [name for name, _ in models]
    if takes_any:
        names += [bundled.MODEL, *(model.name for model in CATALOGUE)]
    with gr.Accordion("Another model", open=False, elem_id="model-box"):
        name = gr.Dropdown(
            [(describe_model(name), name) for name in dict.fromkeys(names)],
            value=None,
            label="Model name or folder" if takes_any else "Model",
            info="Choose one, or type a Hub name or a folder." if takes_any else None,
            allow_custom_value=takes_any,
            elem_id="model-name",
        )
        adapter = gr.Textbox(
            label="VIF adapter (optional)",
            placeholder="folder or Hub name",
            lines=1,
            max_lines=1,
            visible=takes_any,
            elem_id="adapter-name",
        )
        with gr.Row(elem_classes="vl-run"):
            look_up = gr.Button("Look up", size="sm", min_width=70, elem_id="look-up")
            load = gr.Button("Load", size="sm", min_width=70, elem_id="load-model")
            back = gr.Button(
                "Back to the original model", size="sm", min_width=70, visible=False,
                elem_id="first-model",
            )  # fmt: skip
        message = html_block(elem_id="model-message", elem_classes="vl-message")
        html_block(_NOTE)
    return ModelBox(name, adapter, look_up, load, back, message)


def connect_model_box(box: ModelBox, wiring: Wiring, title: gr.HTML) -> None:
    """Connects looking up and loading, and updates everything that depends on the model."""
    c = wiring.controls
    looked = gr.on(
        [box.look_up.click, box.name.input],
        partial(look_up, wiring),
        [box.name],
        [box.message],
        show_progress="hidden",
        api_visibility="private",
    )
    looked.failure(lambda: notice(_FAILED, is_problem=True), None, [box.message], **QUICK)
    following = [*_following(wiring, title), box.back]
    outputs = [box.message, box.load, c.run, wiring.key, *following]
    menu = wiring.field("chosen")
    loading = box.load.click(
        partial(load, box, wiring, title),
        {box.name, box.adapter, wiring.cancel, menu},
        outputs,
        # Any number of tabs may wait; the shelf loads one model at a time.
        concurrency_limit=None,
        trigger_mode="once",
        show_progress="hidden",
        api_visibility="private",
    )
    reset_buttons(loading, {box.load: "Load", c.run: "Run"}, box.message, _FAILED)

    def first_model(data: dict[Any, Any]) -> dict[Any, Any]:
        return {
            box.message: notice(f"{wiring.session.name} is in use again."),
            wiring.key: None,
            box.back: gr.Button(visible=False),
            **updates_for_model(wiring, title, wiring.session, data[menu]),
        }

    box.back.click(first_model, {menu}, [box.message, wiring.key, *following], **QUICK)


def describe_model(name: str) -> str:
    """A model of the menu, with its size and licence where they are known."""
    if name == bundled.MODEL:
        return f"{name}, bundled with VIF Lens"
    known = next((model for model in CATALOGUE if model.name == name), None)
    if known is None:
        return name
    gated = ", gated" if known.gated else ""
    return f"{name}, {known.download:.1f} GB, {known.licence}{gated}"


def download_progress(shelf: Shelf, name: str, adapter: str, seconds: float) -> str:
    """The progress of a model's download, and the estimated time left."""
    bytes_here = shelf.arrived(name, adapter)
    if bytes_here is None:
        return f"Loading for {seconds:.0f} s."
    done, total = bytes_here
    if done >= total:
        return f"Downloaded. Loading for {seconds:.0f} s."
    words = f"{readable_size(done)} of {readable_size(total)} downloaded"
    left = seconds * (total - done) / max(done, 1)
    return f"{words}, about {readable_time(left)} left." if done else f"{words}."


def readable_time(seconds: float) -> str:
    """A duration in seconds, or in minutes if it is long."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def look_up(wiring: Wiring, name: str | None) -> str:
    """What loading a model would download, or why it cannot be loaded."""
    try:
        return notice(wiring.shelf.look_up(name or ""))
    except InputError as error:
        return notice(str(error), is_problem=True)


def load(
    box: ModelBox,
    wiring: Wiring,
    title: gr.HTML,
    data: dict[Any, Any],
) -> Iterator[dict[Any, Any]]:
    """Loads a model and reports progress every second; on an error the old one stays in use."""
    name, cancel = data[box.name], data[wiring.cancel]
    chosen: list[str] = data[wiring.field("chosen")]
    try:
        size = wiring.shelf.look_up(name)
        future = wiring.shelf.begin(name, data[box.adapter])
    except InputError as error:
        yield {box.message: notice(str(error), is_problem=True)}
        return
    if cancel is not None:
        # An answer of the old model would otherwise arrive after the new one.
        cancel.set()
    started = time.monotonic()
    # Polled by the clock: the elapsed time on show changes even while no byte arrives.
    while not future.done():
        seconds = time.monotonic() - started
        words = f"{size} {download_progress(wiring.shelf, name, data[box.adapter], seconds)}"
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
    yield {
        box.message: done,
        wiring.key: key,
        box.back: gr.Button(visible=True),
        **updates_for_model(wiring, title, session, chosen),
    }


def _following(wiring: Wiring, title: gr.HTML) -> list[Any]:
    """The components that depend on the model."""
    c = wiring.controls
    return [title, c.plan, c.message, *map(wiring.field, _SETTINGS), *wiring.result_outputs]


# Fields of the form whose defaults depend on the model.
_SETTINGS = (
    "chosen", "learning_start", "learning_end", "injection_start", "injection_end", "stride",
    "alpha", "samples",
)  # fmt: skip


def updates_for_model(
    wiring: Wiring, title: gr.HTML, session: Session, chosen: list[str]
) -> dict[Any, Any]:
    """Updates of everything that depends on the model; answers of another one are removed."""
    defaults, has_adapter = session.defaults, session.adapter is not None
    values = (
        menu_for(session, chosen), *defaults.learning, *defaults.injection, defaults.stride,
        gr.Slider(value=defaults.alpha), gr.Slider(value=defaults.samples, visible=has_adapter),
    )  # fmt: skip
    plan = plan_strip(session.num_layers, defaults.learning, defaults.injection, defaults.stride)
    return {
        title: header(session),
        wiring.controls.plan: plan,
        **dict(zip(map(wiring.field, _SETTINGS), values, strict=True)),
        **wiring.show(None),
    }
