"""One visitor's tab: its components, their state, and the updates that fill in or show something.

Updates are dictionaries by component: no order of outputs is agreed on anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr
from gradio.components import Component

from vif.errors import InputError
from vif.session import Session
from vif.ui.actions import fill
from vif.ui.html.ruler import ruler_panel
from vif.ui.html.strips import suggestion_strip
from vif.ui.html.templates import notice
from vif.ui.panels import look
from vif.ui.panels.answers import AnswersColumn, answers_block
from vif.ui.panels.controls import Controls
from vif.ui.state.drawing import Drawing
from vif.ui.state.examples import PageExample
from vif.ui.state.form import Form
from vif.ui.state.payload import opening_layer
from vif.ui.state.result import Result
from vif.ui.state.shelf import Key, Shelf
from vif.ui.state.view import View

Data = Mapping[Component, Any]


@dataclass
class Tab:
    """The components of the page; everything that belongs to one visitor is a `gr.State`.

    Attributes:
        session: The page's own model.
        controls: The left column.
        answers: The right column.
        examples: The examples, in the order of their buttons.
        seconds: How long a state is kept after its last use.
        opened: The answers that the page opens with.
        shelf: All loaded models.
        key: Which of them this tab uses.
        result: What is shown.
        view: How it is shown, as the browser last said.
        truths: Known answers about the picture.
        drawing: What is marked on it.
        cancel: Stops what runs.
        example: Index of the example that was clicked last.
    """

    session: Session
    controls: Controls
    answers: AnswersColumn
    examples: Sequence[PageExample]
    seconds: int
    opened: Result | None = None
    shelf: Shelf = field(init=False)
    key: gr.State = field(init=False)
    result: gr.State = field(init=False)
    view: gr.State = field(init=False)
    truths: gr.State = field(init=False)
    drawing: gr.State = field(init=False)
    cancel: gr.State = field(init=False)
    example: gr.State = field(init=False)

    def __post_init__(self) -> None:
        state = partial(gr.State, time_to_live=self.seconds)
        self.shelf, self.key = Shelf(self.session), state(None)
        self.result, self.view = state(self.opened), state(opening_view(self.opened))
        self.truths, self.cancel = state(self.controls.truths), state(None)
        self.drawing, self.example = state(Drawing()), state(None)

    def field(self, name: str) -> Any:
        """The component of a field of `Form`; which events it has depends on the field."""
        return self.controls.fields[name]

    @property
    def form(self) -> set[Any]:
        """The inputs of the form, as `read_form` takes them."""
        return {self.drawing, *self.controls.fields.values(), *self.controls.own.sliders}

    def read_form(self, data: Data) -> Form:
        """The form as it is filled in now."""
        c = self.controls
        fields = {name: data[component] for name, component in c.fields.items()}
        return Form(
            **fields,
            own=c.own.gather(data, fields["chosen"]),
            drawing=data.get(self.drawing) or Drawing(),
        )

    @property
    def run_inputs(self) -> set[Any]:
        """Everything that a run needs."""
        return {self.key, self.truths, *self.form}

    @property
    def run_outputs(self) -> list[Any]:
        """Everything that a run changes while and after it runs."""
        c = self.controls
        return [c.run, c.stop, c.message, self.cancel, *self.result_outputs]

    @property
    def form_outputs(self) -> list[Any]:
        """What a new picture with its question changes on the left."""
        fields = map(self.field, ("image", "beside", "number", "question", "context"))
        return [*fields, *self.look_outputs, self.truths, self.controls.suggestions]

    @property
    def look_outputs(self) -> list[Any]:
        """The components of the marked place: its canvas, its state and its note."""
        look = self.controls.look
        return [look.canvas, self.drawing, look.note]

    @property
    def result_outputs(self) -> list[Any]:
        """Everything that a new result changes."""
        a = self.answers
        return [self.result, a.answers, a.body, a.ruler, a.files]

    def session_of(self, key: Key | None) -> Session:
        """The tab's model; if it was unloaded, the page's own model until the next run."""
        try:
            return self.shelf.get(key)
        except InputError:
            return self.session

    # -- updates ------------------------------------------------------------------------------

    def fill_in(
        self,
        filled: fill.SceneFill,
        question: str | None = None,
        text: int = 0,
        drawing: Drawing | None = None,
    ) -> dict[Any, Any]:
        """Updates of the form for a picture with its marks, a question and a text before it."""
        c, questions = self.controls, fill.questions_of(filled.truths)
        return {
            **self.mark(filled.image, drawing),
            self.field("image"): filled.image,
            # A new scene comes alone.
            self.field("beside"): None,
            self.field("number"): gr.Slider(value=1, visible=False),
            self.field("question"): question or questions[0],
            self.field("context"): fill.unrelated_text_of(text),
            self.truths: fill.truths_about(filled.image, filled.truths),
            c.suggestions: suggestion_strip(questions),
            c.text_length: text,
            c.message: "",
        }

    def mark(self, image: Any, drawing: Drawing | None = None) -> dict[Any, Any]:
        """Updates of the marked place for another picture."""
        return dict(zip(self.look_outputs, look.new_picture(image, drawing), strict=True))

    def busy(self, cancel: threading.Event) -> dict[Any, Any]:
        """What the page shows while the model runs."""
        c = self.controls
        return {
            c.run: gr.Button("Running…", interactive=False),
            c.stop: gr.Button(interactive=True),
            c.message: notice("The model is answering."),
            self.cancel: cancel,
        }

    def show(self, result: Result | None, view: dict[str, Any] | None = None) -> dict[Any, Any]:
        """Updates of everything that shows a result; None removes the answers.

        Args:
            result: The answers.
            view: How they open, as a dictionary of `View`'s fields; the browser's choice by
                default.
        """
        a = self.answers
        return {
            self.controls.message: "",
            self.result: result,
            a.answers: gr.HTML(**answers_block(result), view=view),
            a.body: gr.Column(visible=result is not None),
            a.ruler: ruler_panel(result) if result else "",
            a.files: gr.Files(None, visible=False),
        }


def opening_view(result: Result | None) -> View:
    """How the browser shows a result before anybody changes anything."""
    return View() if result is None else View(layer=opening_layer(result))
