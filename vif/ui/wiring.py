"""Which action changes what: Gradio events around plain functions.

Events take a set of components, and their handlers a dictionary of values by component: no order
of inputs is agreed on anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import gradio as gr
from gradio.events import Dependency

from vif.errors import InputError
from vif.ui.actions import ask
from vif.ui.actions.change_mixture import ask_again
from vif.ui.actions.events import LATEST, QUICK, SLOW, STOPPING, WAITING, reset_buttons
from vif.ui.actions.problems import FAILED, attempt
from vif.ui.actions.recorded import recorded_for
from vif.ui.html.templates import notice
from vif.ui.panels import look
from vif.ui.state.payload import slice_of
from vif.ui.state.result import Result
from vif.ui.state.shelf import Key
from vif.ui.state.view import View
from vif.ui.tab import Data, Tab
from vif.ui.zero import run_model

_SCROLL = """() => {
  if (window.innerWidth > 820 || !window.vifStore.isAsked) return;
  document.querySelector('#answers').scrollIntoView({behavior: 'smooth'});
}"""
T = TypeVar("T")
_STOPPED = notice("Stopped. The earlier answers are still shown.")


@dataclass
class Wiring(Tab):
    """Connects the components of a tab.

    Attributes:
        viewed: The event after which `view` is up to date; listen to it, not to the state, which
            triggers no event when it changes outside the queue (Gradio 6.31).
    """

    viewed: Dependency = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        told = self.answers.answers.input
        self.viewed = told(take_view, None, [self.view], **LATEST)

    def connect(self, demo: gr.Blocks) -> None:
        """Connects what runs and what shows; the panels connect themselves."""
        self._connect_look()
        self._connect_run(demo)
        self._connect_view()

    def _connect_look(self) -> None:
        """Connects marking a place, and checking a guess."""
        box = self.controls.look
        image, others = self.field("image"), [self.field("image").upload, self.field("image").clear]
        gr.on(others, look.new_picture, [image], self.look_outputs, **QUICK)
        # Every event brings the whole drawing.
        drawn = [self.drawing, box.note, box.canvas]
        box.canvas.select(look.take_drawing, None, drawn, **LATEST)
        guess = [self.drawing, self.field("question"), self.truths, self.result]
        box.check.click(look.check_guess, guess, [box.note, box.canvas], **QUICK)

    def _connect_run(self, demo: gr.Blocks) -> None:
        """Connects Run, asking with a marked place or a changed mixture, and Stop."""
        c, a = self.controls, self.answers
        slow = {**SLOW, "show_progress_on": c.message}
        clicks = [c.run.click, self.field("question").submit]
        every = [*clicks, c.look.ask.click, a.components.submit]
        self._watch_form(demo, [*clicks, c.look.ask.click])
        gr.on(every, None, None, [c.run, c.message], **WAITING)
        self.settle(gr.on(clicks, self.run, self.run_inputs, self.run_outputs, **slow))
        placed = [*self.run_outputs, self.field("chosen"), c.look.note]
        self.settle(c.look.ask.click(self.run_with_place, self.run_inputs, placed, **slow))
        again = a.components.submit(
            self.ask_again, [self.key, self.result], self.run_outputs, **slow
        )
        self.settle(again)
        # On a narrow screen the answers lie below everything that was filled in.
        self.result.change(None, js=_SCROLL, **QUICK)
        c.stop.click(None, None, [c.message], **STOPPING)
        c.stop.click(stop, [self.cancel], None, **QUICK)

    def _watch_form(self, demo: gr.Blocks, clicks: list[Any]) -> None:
        """Tells the browser's store what is filled in, and what is asked with it."""
        watched = self._watched
        changes = [component.change for component in watched]
        js = "(...values) => { window.vifStore.fill(values); return []; }"
        gr.on([demo.load, *changes], None, watched, None, js=js, **QUICK)
        for click in clicks:
            self.note_form(click)

    def note_form(self, event: Any) -> None:
        """Notes in the browser that the next answers belong to the form as it is now."""
        js = "(...values) => { window.vifStore.ask(values); return []; }"
        event(None, self._watched, None, js=js, **QUICK)

    @property
    def _watched(self) -> list[Any]:
        """The inputs that answers belong to: if one changes, they are stale."""
        return [*self.controls.fields.values(), *self.controls.own.sliders]

    def _connect_view(self) -> None:
        """Connects what the browser requests while it draws."""
        a = self.answers
        a.answers.submit(
            self.fetch_slice, [self.result], [a.answers], trigger_mode="multiple", **QUICK
        )

    def settle(self, event: Dependency) -> None:
        """Resets the buttons when a run ends."""
        c = self.controls
        reset_buttons(event, {c.run: "Run", c.stop: ""}, c.message, FAILED)

    # -- running ------------------------------------------------------------------------------

    def run_form(
        self, function: Callable[..., T], data: Data, cancel: threading.Event, *more: Any
    ) -> tuple[T | None, str]:
        """Runs the tab's model for what is filled in.

        Args:
            function: Called with the session, the form, the known answers and `more`.
            data: Of `run_inputs`.
            cancel: Stops it.
            *more: What else the function takes.

        Returns:
            As `attempt`.
        """
        return attempt(
            lambda: run_model(
                self.shelf.get(data[self.key]),
                function,
                self.read_form(data),
                data[self.truths] or [],
                *more,
                cancel=cancel,
            )
        )

    def run(self, data: Data) -> Iterator[dict[Any, Any]]:
        """Asks the model; on an error the old answers and the form stay as they are."""
        cancel = threading.Event()
        yield self.busy(cancel)
        result, problem = self.run_form(ask.answer, data, cancel)
        if result is None:
            yield {self.controls.message: problem or _STOPPED}
        else:
            yield self.show(replace(result, remark=self._remark(result)))

    def run_example(self, data: Data) -> Iterator[dict[Any, Any]]:
        """Shows the recorded answers to an example, or asks if they would be different."""
        example = self.examples[data[self.example]]
        found, _ = attempt(
            lambda: recorded_for(self.session_of(data[self.key]), self.read_form(data), example)
        )
        if found is None:
            yield from self.run(data)
        else:
            yield self.show(found)

    def _remark(self, result: Result) -> str:
        """What to look for, if an example was asked."""
        known = [e for e in self.examples if e.truth and result.truth]
        return next((e.note for e in known if e.known.same_as(result.known)), "")

    def run_with_place(self, data: Data) -> Iterator[dict[Any, Any]]:
        """Asks the model with the marked place among the methods."""
        note, message, menu = self.controls.look.note, self.controls.message, self.field("chosen")
        try:
            chosen = look.with_place(data[self.drawing], data[menu])
        except InputError as error:
            yield {note: notice(str(error), is_problem=True), message: ""}
            return
        yield {menu: chosen}
        yield from self.run({**data, menu: chosen})

    def ask_again(
        self, key: Key | None, result: Result | None, event: gr.EventData
    ) -> Iterator[dict[Any, Any]]:
        """Asks with the changed mixture; the answer is shown beside the others."""
        if result is None:
            yield {self.controls.message: ""}
            return
        cancel = threading.Event()
        yield self.busy(cancel)
        found, problem = attempt(
            lambda: run_model(self.shelf.get(key), ask_again, result, event._data, cancel=cancel)
        )
        yield self.show(found) if found else {self.controls.message: problem or _STOPPED}

    def fetch_slice(self, result: Result | None, event: gr.EventData) -> Any:
        """More of a large model's numbers, for one token and head."""
        view = View.read(event._data)
        if result is None or not result.has_maps(view.token, view.head):
            return gr.skip()
        return gr.HTML(slices=slice_of(result, view.token, view.head))


def take_view(event: gr.EventData) -> View:
    """How the browser shows the result now."""
    return View.read(event._data)


def stop(cancel: threading.Event | None) -> None:
    """Asks what runs to stop after its current pass."""
    if cancel is not None:
        cancel.set()
