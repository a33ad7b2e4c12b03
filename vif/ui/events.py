"""Which action changes what: Gradio events around the plain functions of `handlers`."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.ui import handlers, redraw
from vif.ui.cards import answer_cards
from vif.ui.controls import Controls
from vif.ui.examples import Example, plan_strip, suggestion_strip
from vif.ui.handlers import Form, Session, view_of
from vif.ui.maps import heatmaps
from vif.ui.mixtures import mixture_panel
from vif.ui.redraw import notice, picked
from vif.ui.results import Results, head_choices
from vif.ui.ruler import ruler_panel
from vif.ui.shelf import Key, Shelf
from vif.ui.state import MixtureView, Result, Truth, View

MAX_SCENE_SEED = 1_000_000
_FAILED = (
    "The model stopped with an error; what you typed is kept. The log of the program has more."
)

# What a model raises when memory, a kernel or a checkpoint fails; PyTorch's own are RuntimeErrors.
_MODEL_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)
_log = logging.getLogger(__name__)

_SCROLL = """() => {
  if (window.innerWidth < 900) {
    document.querySelector('#cards').scrollIntoView({behavior: 'smooth'});
  }
}"""

# Redrawing is a matter of milliseconds: no queue, no spinner, and only the latest drag counts.
QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass
class Wiring:
    """Connects the components; everything that belongs to one visitor is a `gr.State`."""

    session: Session
    controls: Controls
    results: Results
    examples: list[Example]
    seconds: int
    shelf: Shelf = field(init=False)
    key: gr.State = field(init=False)
    result: gr.State = field(init=False)
    token: gr.State = field(init=False)
    chosen: gr.State = field(init=False)
    truths: gr.State = field(init=False)
    cancel: gr.State = field(init=False)

    def __post_init__(self) -> None:
        state = partial(gr.State, time_to_live=self.seconds)
        self.shelf, self.key = Shelf(self.session), state(None)
        self.result, self.token, self.chosen = state(None), state(0), state(None)
        self.truths, self.cancel = state(self.controls.truths), state(None)

    @property
    def view_inputs(self) -> list[gr.components.Component]:
        """The result and everything that says how it is shown."""
        return [self.result, self.token, *self.results.view]

    @property
    def mixture_inputs(self) -> list[gr.components.Component]:
        """The view, and which mixture is shown how."""
        return [*self.view_inputs, self.results.injected, self.results.shown, self.chosen]

    def connect_form(self) -> None:
        """Scenes, examples, suggestions, text before the question, layer ranges."""
        c = self.controls
        filled = [c.image, c.question, self.truths, c.suggestions, c.message]
        c.draw.click(self.draw_scene, None, filled, **QUICK)
        c.examples.select(self.take_example, None, [*filled, c.text_length, c.context], **QUICK)
        c.suggestions.select(self.take_suggestion, [self.truths], [c.question], **QUICK)
        # A scene's questions do not fit another picture.
        gr.on(
            [c.image.upload, c.image.clear],
            lambda: ([], suggestion_strip(handlers.questions_of([]))),
            None,
            [self.truths, c.suggestions],
            **QUICK,
        )
        c.text_length.change(handlers.unrelated, [c.text_length], [c.context], **QUICK)
        c.context.change(self.count_text, [self.key, c.context], [c.context_note], **QUICK)
        # Without VIF its settings would be controls that do nothing.
        c.use_vif.input(
            lambda is_on: gr.Accordion(visible=is_on), [c.use_vif], [c.settings], **QUICK
        )
        numbers = c.form[4:9]
        gr.on([n.change for n in numbers], self.draw_plan, [self.key, *numbers], [c.plan], **QUICK)

    def connect_run(self) -> None:
        """Run, stop, and the buttons' state."""
        c, r = self.controls, self.results
        outputs = [
            c.run, c.stop, c.message, self.cancel, self.result, self.token, self.chosen, r.body,
            r.cards, r.maps, r.sheet, r.curves, r.mixture, r.ruler, r.head, r.scale,
            r.injected, r.shown, r.layer,
        ]  # fmt: skip
        inputs = [self.key, self.truths, *c.form, *r.view, r.shown]
        asked = gr.on(
            [c.run.click, c.question.submit],
            self.run,
            inputs,
            outputs,
            concurrency_limit=1,
            concurrency_id="model",
            trigger_mode="once",
            show_progress="hidden",
            api_visibility="private",
        )
        # After an exception the page runs "failure" alone (Gradio 6.31).
        asked.then(self.rest, None, [c.run, c.stop], **QUICK)
        asked.failure(self.fail, None, [c.run, c.stop, c.message], **QUICK)
        # On a narrow screen the answers lie below everything that was filled in.
        self.result.change(None, js=_SCROLL, **QUICK)
        c.stop.click(self.stop, [self.cancel], [c.message], **QUICK)

    def connect_view(self) -> None:
        """Layer, head, token and the rest of what only changes how a result is shown."""
        r = self.results
        maps = [r.maps, r.sheet]
        quick = {**QUICK, "trigger_mode": "always_last"}
        r.layer.input(
            lambda *a: (False, *redraw.draw_layer(*a[:3], False, *a[4:])),
            self.view_inputs,
            [r.all_layers, *maps],
            **quick,
        )
        gr.on([r.all_layers.input], redraw.draw_layer, self.view_inputs, maps, **quick)
        shared = [component.input for component in r.view[2:]]
        both = [*maps, r.mixture]
        gr.on(shared, redraw.draw_maps_and_mixture, self.mixture_inputs, both, **quick)
        r.cards.select(
            redraw.take_token, self.view_inputs, [self.token, r.cards, *maps, r.curves], **quick
        )
        r.sheet.select(redraw.take_layer, self.view_inputs, [r.layer, r.all_layers, *maps], **quick)
        gr.on(
            [r.injected.input, r.shown.input],
            redraw.draw_mixture,
            self.mixture_inputs,
            [r.mixture],
            **quick,
        )
        r.mixture.select(
            redraw.take_component, self.mixture_inputs, [self.chosen, r.mixture], **quick
        )

    def connect_files(self) -> None:
        """Saving."""
        r = self.results
        r.prepare.click(
            redraw.save, self.view_inputs, [r.files, r.script], api_visibility="private"
        )

    # -- the form ---------------------------------------------------------------------------

    def draw_scene(self) -> tuple[Any, ...]:
        """A new scene with its first question; the old answers stay until the next run."""
        filled = handlers.scene(secrets.randbelow(MAX_SCENE_SEED))
        questions = handlers.questions_of(filled.truths)
        return filled.image, questions[0], filled.truths, suggestion_strip(questions), ""

    def take_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """The clicked example's picture, question and text before it."""
        index = picked(event, len(self.examples))
        if index is None:
            return (gr.skip(),) * 7
        example = self.examples[index]
        strip = suggestion_strip(handlers.questions_of(example.truths))
        return (
            example.image,
            example.question,
            example.truths,
            strip,
            notice(example.note),
            example.text,
            handlers.unrelated(example.text),
        )

    def take_suggestion(self, event: gr.EventData, truths: list[Truth]) -> Any:
        """The clicked suggestion as the question."""
        questions = handlers.questions_of(truths or [])
        index = picked(event, len(questions))
        return gr.skip() if index is None else questions[index]

    def count_text(self, key: Key | None, context: str) -> str:
        """How long the text before the question is."""
        session = self.session_of(key)
        count = session.token_count(context) if context else 0
        return f'<p class="vl-small">{count} tokens before the question.</p>'

    def draw_plan(self, key: Key | None, *numbers: float | None) -> str:
        """The row of layers for the numbers that stand in the fields."""
        first, last, start, end, stride = numbers
        return plan_strip(self.session_of(key).num_layers, (first, last), (start, end), stride)

    def session_of(self, key: Key | None) -> Session:
        """The tab's model; the page's own stands in for one that was let go, until the next run."""
        try:
            return self.shelf.get(key)
        except InputError:
            return self.session

    # -- running ----------------------------------------------------------------------------

    def run(self, key: Key | None, truths: list[Truth], *values: Any) -> Iterator[dict[Any, Any]]:
        """Asks the model; a problem leaves the old answers and everything typed in place."""
        c = self.controls
        form, view_values, shown = Form(*values[:13]), values[13:-1], values[-1]
        cancel = threading.Event()
        yield {
            c.run: gr.Button("Running…", interactive=False),
            c.stop: gr.Button(interactive=True),
            c.message: notice("The model is answering."),
            self.cancel: cancel,
        }
        try:
            result = handlers.answer(self.shelf.get(key), form, truths or [], cancel)
        except InputError as error:
            yield {c.message: notice(str(error), is_problem=True)}
            return
        except _MODEL_ERRORS:
            _log.exception("The model stopped with an error.")
            yield {c.message: notice(_FAILED, is_problem=True)}
            return
        if result is None:
            yield {c.message: notice("Stopped. The earlier answers are still shown.")}
            return
        yield self.shown(result, view_of(0, *view_values), int(shown))

    def shown(self, result: Result, view: View, shown: int) -> dict[Any, Any]:
        """Everything on the right for a new result."""
        r = self.results
        heads = [value for _, value in head_choices(result.first.num_heads)]
        head = str(view.head) if str(view.head) in heads else "mean"
        last = result.first.num_layers - 1
        view = replace(
            view,
            layer=None if view.layer is None else min(view.layer, last),
            head=int(head) if head.isdigit() else head,
            scale=view.scale if result.has_tiles else "whole",
        )
        most = max((len(m.weights) for m in result.mixtures), default=0)
        layers = [(f"Layer {m.layer}", i) for i, m in enumerate(result.mixtures)]
        shown = max(1, min(shown, most)) if most else shown
        choice = MixtureView(0, shown, None)
        return {
            self.controls.message: "",
            self.result: result,
            self.token: 0,
            self.chosen: None,
            r.body: gr.Column(visible=True),
            r.cards: answer_cards(result, view),
            r.maps: heatmaps(result, view),
            r.sheet: redraw.draw_sheet(result, view),
            r.curves: redraw.curve_figure(result, view),
            r.mixture: mixture_panel(result, view, choice),
            r.head: gr.Dropdown(head_choices(result.first.num_heads), value=head),
            r.ruler: ruler_panel(result),
            r.layer: gr.Slider(maximum=last)
            if view.layer is None
            else gr.Slider(value=view.layer, maximum=last),
            r.scale: gr.Dropdown(value=view.scale, visible=result.has_tiles),
            r.injected: gr.Radio(layers, value=0 if layers else None, visible=bool(layers)),
            # Every sample of the latent brings its own components. Hidden, it keeps its range: the
            # browser goes on sending the old value.
            r.shown: gr.Slider(value=shown, maximum=max(2, most), visible=True)
            if most
            else gr.Slider(visible=False),
        }

    def rest(self) -> tuple[gr.Button, gr.Button]:
        """The buttons when nothing runs."""
        return gr.Button("Run", interactive=True), gr.Button(interactive=False)

    def fail(self) -> tuple[gr.Button, gr.Button, str]:
        """The buttons and the message after an error that nobody foresaw."""
        return *self.rest(), notice(_FAILED, is_problem=True)

    def stop(self, cancel: threading.Event | None) -> str:
        """Asks the running model to stop after its current token."""
        if cancel is not None:
            cancel.set()
        return notice("Stopping…")
