"""Which action changes what: Gradio events around plain functions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.ui.actions import changing, filling, handlers
from vif.ui.actions import mixture_events as mixing
from vif.ui.actions.handlers import Session, view_of
from vif.ui.actions.kinds import LATEST, QUICK, SLOW, STOPPING, WAITING
from vif.ui.actions.redraw import notice
from vif.ui.actions.showing import FAILED, attempt, show_result
from vif.ui.panels import choice, look
from vif.ui.panels.controls import Controls
from vif.ui.panels.results import Results
from vif.ui.state.drawing import Drawing
from vif.ui.state.examples import Example, plan_strip
from vif.ui.state.form import Form
from vif.ui.state.result import MixtureView, Truth
from vif.ui.state.shelf import Key, Shelf

_SCROLL = """() => {
  if (window.innerWidth < 900) {
    document.querySelector('#cards').scrollIntoView({behavior: 'smooth'});
  }
}"""

# Of the form: how many inputs before the methods' own settings, and which one the methods are.
_FORM_FIELDS, _CHOSEN = 13, 3


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
    changes: gr.State = field(init=False)
    truths: gr.State = field(init=False)
    drawing: gr.State = field(init=False)
    cancel: gr.State = field(init=False)

    def __post_init__(self) -> None:
        state = partial(gr.State, time_to_live=self.seconds)
        self.shelf, self.key = Shelf(self.session), state(None)
        self.result, self.token, self.chosen = state(None), state(0), state(None)
        self.truths, self.cancel = state(self.controls.truths), state(None)
        self.changes, self.drawing = state({}), state(Drawing())

    @property
    def form_inputs(self) -> list[gr.components.Component]:
        """Everything that is filled in on the left, as `read_form` takes it."""
        c = self.controls
        return [self.drawing, *c.form, *c.own.sliders]

    @property
    def view_inputs(self) -> list[gr.components.Component]:
        """The result and everything that says how it is shown."""
        return [self.result, self.token, *self.results.view]

    @property
    def mixture_inputs(self) -> list[gr.components.Component]:
        """The view, and which mixture is shown how."""
        r = self.results
        return [*self.view_inputs, r.whose, r.injected, r.shown, self.chosen, self.changes]

    def read_form(self, drawing: Drawing | None, *values: Any) -> Form:
        """What was filled in."""
        own = self.controls.own.gather(values[_FORM_FIELDS:])
        return Form(*values[:_FORM_FIELDS], own, drawing or Drawing())

    def connect_form(self) -> None:
        """Scenes, examples, suggestions, methods, text before the question, layer ranges."""
        c = self.controls
        filled = [c.image, c.question, self.truths, c.suggestions, c.message]
        c.draw.click(filling.draw_scene, None, filled, **QUICK)
        c.examples.select(self.take_example, None, [*filled, c.text_length, c.context], **QUICK)
        c.suggestions.select(filling.take_suggestion, [self.truths], [c.question], **QUICK)
        other = [self.truths, c.suggestions]
        gr.on([c.image.upload, c.image.clear], filling.other_picture, None, other, **QUICK)
        c.text_length.change(handlers.unrelated, [c.text_length], [c.context], **QUICK)
        c.context.change(self.count_text, [self.key, c.context], [c.context_note], **QUICK)
        following = [c.method_lines, c.settings, *c.own.panels.values()]
        c.methods.change(
            lambda chosen: choice.follow(c.own, chosen), [c.methods], following, **QUICK
        )
        numbers = c.form[4:9]
        gr.on([n.change for n in numbers], self.draw_plan, [self.key, *numbers], [c.plan], **QUICK)

    def connect_look(self) -> None:
        """Marking a place, and guessing where the answer is."""
        c, box = self.controls, self.controls.look
        marked = [box.canvas, self.drawing, box.note]
        c.image.change(look.new_picture, [c.image], marked, **QUICK)
        # Every event brings the whole drawing.
        drawn = [self.drawing, box.note, box.canvas]
        box.canvas.select(look.take_drawing, None, drawn, **LATEST)
        guess = [self.drawing, c.question, self.truths, self.result]
        box.check.click(look.check_guess, guess, [box.note, box.canvas], **QUICK)

    def connect_run(self) -> None:
        """Run, ask with a marked place, ask again with a changed mixture, stop."""
        c, r = self.controls, self.results
        outputs = [c.run, c.stop, c.message, self.cancel, *self.shown_outputs]
        inputs = [self.key, self.truths, *self.form_inputs, *r.view, r.shown]
        clicks = [c.run.click, c.question.submit]
        every = [*clicks, c.look.ask.click, r.change.ask.click]
        gr.on(every, None, None, [c.run, c.message], **WAITING)
        self.settle(gr.on(clicks, self.run, inputs, outputs, show_progress_on=c.message, **SLOW))
        placed = [*outputs, c.methods, c.look.note]
        self.settle(
            c.look.ask.click(
                self.run_with_place, inputs, placed, show_progress_on=c.message, **SLOW
            )
        )
        again = r.change.ask.click(
            self.ask_again,
            [self.key, *self.mixture_inputs],
            outputs,
            show_progress_on=c.message,
            **SLOW,
        )
        self.settle(again)
        # On a narrow screen the answers lie below everything that was filled in.
        self.result.change(None, js=_SCROLL, **QUICK)
        c.stop.click(None, None, [c.message], **STOPPING)
        c.stop.click(stop, [self.cancel], None, **QUICK)

    @property
    def shown_outputs(self) -> list[gr.components.Component]:
        """Everything that a new result changes."""
        r = self.results
        return [
            self.result, self.token, self.chosen, self.changes, r.body, r.cards, r.maps, r.sheet,
            r.curves, r.mixture, r.ruler, r.head, r.scale, r.whose, r.injected, r.shown, r.layer,
            r.change.panel, *r.change.numbers, r.files, r.script,
        ]  # fmt: skip

    def settle(self, event: gr.events.Dependency) -> None:
        """The buttons when something that ran has ended, well or not."""
        c = self.controls
        # After an exception the page runs "failure" alone (Gradio 6.31).
        event.then(rest, None, [c.run, c.stop], **QUICK)
        event.failure(fail, None, [c.run, c.stop, c.message], **QUICK)

    # -- the form ---------------------------------------------------------------------------

    def take_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """The clicked example."""
        return filling.take_example(event, self.examples)

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
        count = len(self.form_inputs)
        view = view_of(0, *values[count:-1])
        cancel = threading.Event()
        yield self.busy(cancel)
        result, problem = attempt(
            lambda: handlers.answer(
                self.shelf.get(key), self.read_form(*values[:count]), truths or [], cancel
            )
        )
        if result is None:
            yield {self.controls.message: problem or _STOPPED}
            return
        yield {
            self.controls.message: "",
            self.result: result,
            self.token: 0,
            self.chosen: None,
            self.changes: {},
            **show_result(self.results, result, view, MixtureView(shown=int(values[-1]))),
        }

    def run_with_place(self, *values: Any) -> Iterator[dict[Any, Any]]:
        """Asks the model with the marked place among the methods."""
        key, truths, drawing, *filled = values
        note, message = self.controls.look.note, self.controls.message
        try:
            filled[_CHOSEN] = look.with_place(drawing, filled[_CHOSEN])
        except InputError as error:
            yield {note: notice(str(error), is_problem=True), message: ""}
            return
        yield {self.controls.methods: filled[_CHOSEN]}
        yield from self.run(key, truths, drawing, *filled)

    def ask_again(self, key: Key | None, *values: Any) -> Iterator[dict[Any, Any]]:
        """Asks with the changed mixture; the answer stands beside the others."""
        shown, cancel = mixing.Shown.read(values), threading.Event()
        if shown.result is None:
            yield {self.controls.message: ""}
            return
        yield self.busy(cancel)
        result, problem = attempt(
            lambda: changing.ask_again(
                self.shelf.get(key), shown.result, shown.choice, shown.made, cancel
            )
        )
        if result is None:
            yield {self.controls.message: problem or _STOPPED}
            return
        made = {k: v for k, v in shown.made.items() if k[0] != changing.CHANGED}
        update = show_result(self.results, result, shown.view, shown.choice, made)
        yield {
            self.controls.message: "",
            self.result: result,
            self.chosen: shown.choice.chosen,
            self.changes: made,
            **update,
        }

    def busy(self, cancel: threading.Event) -> dict[Any, Any]:
        """What the page shows while the model runs."""
        c = self.controls
        return {
            c.run: gr.Button("Running…", interactive=False),
            c.stop: gr.Button(interactive=True),
            c.message: notice("The model is answering."),
            self.cancel: cancel,
        }


_STOPPED = notice("Stopped. The earlier answers are still shown.")


def stop(cancel: threading.Event | None) -> None:
    """Asks what runs to stop after its current pass."""
    if cancel is not None:
        cancel.set()


def rest() -> tuple[gr.Button, gr.Button]:
    """The buttons when nothing runs."""
    return gr.Button("Run", interactive=True), gr.Button(interactive=False)


def fail() -> tuple[gr.Button, gr.Button, str]:
    """The buttons and the message after an error that nobody foresaw."""
    return *rest(), notice(FAILED, is_problem=True)
