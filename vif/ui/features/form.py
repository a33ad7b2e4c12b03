"""Filling in the form: scenes, examples, suggestions, text before the question, layer ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.inputs.images import is_animated, open_image
from vif.ui.actions import beside, fill
from vif.ui.actions.events import LATEST, QUICK, SLOW, picked_index
from vif.ui.html.strips import plan_strip, suggestion_strip
from vif.ui.html.templates import fill as html
from vif.ui.html.templates import notice
from vif.ui.panels import choice
from vif.ui.panels.controls import FRAME_LABEL, PLACE_LABEL
from vif.ui.state.form import video_of
from vif.ui.tab import Data
from vif.ui.wiring import Wiring

# Fields that the row of layers is drawn from.
_PLAN = ("learning_start", "learning_end", "injection_start", "injection_end", "stride")

_ONE_FRAME = (
    "The file holds several images: only the first is asked about. Put a video under "
    "“Other images, or a video” to choose a frame."
)


def connect_form(wiring: Wiring) -> None:
    """Connects scenes, examples, suggestions, methods, text before the question, layer ranges."""
    c, filling = wiring.controls, Filling(wiring)
    filled = [*wiring.form_outputs, c.text_length, c.message]
    c.draw.click(filling.draw_scene, None, filled, **QUICK)
    question = [wiring.field("question")]
    c.suggestions.select(filling.take_suggestion, {wiring.truths}, question, **QUICK)
    examples = wiring.answers.examples
    taken = examples.select(filling.take_example, None, [*filled, c.run, wiring.example], **QUICK)
    wiring.note_form(taken.success)
    known = {wiring.example, *wiring.run_inputs}
    wiring.settle(taken.success(wiring.run_example, known, wiring.run_outputs, **SLOW))
    image, context = wiring.field("image"), wiring.field("context")
    other = [wiring.truths, c.suggestions]
    gr.on([image.upload, image.clear], filling.other_picture, None, other, **QUICK)
    gr.on([image.upload, image.clear], filling.check_picture, [image], [image, c.message], **QUICK)
    files, number = wiring.field("beside"), wiring.field("number")
    shown = [image, number, c.message, *other, *wiring.look_outputs]
    gr.on([files.upload, files.clear, files.delete], filling.put_beside, [files], shown, **QUICK)
    number.input(filling.choose_frame, [files, number], shown, **LATEST)
    c.text_length.input(
        lambda data: fill.unrelated_text_of(data[c.text_length]),
        {c.text_length},
        [context],
        **LATEST,
    )
    context.change(filling.count_text, {wiring.key, context}, [c.context_note], **QUICK)
    menu = wiring.field("chosen")
    following = [menu, c.settings, *c.own.panels.values()]
    menu.change(
        lambda data: choice.updates_for_choice(c.own, data[menu]), {menu}, following, **QUICK
    )
    numbers = [wiring.field(name) for name in _PLAN]
    changes = [number.change for number in numbers]
    gr.on(changes, filling.draw_plan, {wiring.key, *numbers}, [c.plan], **QUICK)
    c.plan.select(filling.take_range, {wiring.key}, numbers[:4], **QUICK)


@dataclass(frozen=True)
class Filling:
    """What each click fills in; `Wiring` knows the fields.

    A class, as Gradio hands its event to methods, but not to partial functions.
    """

    wiring: Wiring

    def draw_scene(self) -> dict[Any, Any]:
        """A new scene with its first question, without the text of an earlier example."""
        return self.wiring.fill_in(fill.new_scene())

    def take_example(self, event: gr.EventData) -> dict[Any, Any]:
        """The clicked example; it is run next."""
        index = picked_index(event, len(self.wiring.examples))
        if index is None:
            raise gr.Error("This example does not exist: reload the page.", print_exception=False)
        one, c = self.wiring.examples[index], self.wiring.controls
        filled = self.wiring.fill_in(fill.SceneFill(one.image, one.truths), one.question, one.text)
        return {**filled, c.run: gr.Button(interactive=False), self.wiring.example: index}

    def take_suggestion(self, data: Data, event: gr.EventData) -> Any:
        """The clicked suggestion as the question."""
        questions = fill.questions_of(data[self.wiring.truths] or [])
        index = picked_index(event, len(questions))
        return gr.skip() if index is None else questions[index]

    def other_picture(self) -> dict[Any, Any]:
        """A scene's questions do not fit another picture: general ones are offered."""
        strip = suggestion_strip(fill.questions_of([]))
        return {self.wiring.truths: [], self.wiring.controls.suggestions: strip}

    def check_picture(self, image: str | None) -> dict[Any, Any]:
        """Removes a picture that cannot be opened and says why, before a question is asked."""
        message = self.wiring.controls.message
        try:
            if image is not None:
                open_image(image)
        except InputError as error:
            return {self.wiring.field("image"): None, message: notice(str(error), is_problem=True)}
        return {message: notice(_ONE_FRAME) if image and is_animated(image) else ""}

    def put_beside(self, files: list[str] | None) -> dict[Any, Any]:
        """Other images, or a video whose middle frame becomes the picture."""
        try:
            found = beside.read_beside(files)
        except InputError as error:
            return {
                self.wiring.field("number"): gr.Slider(visible=False),
                self.wiring.controls.message: notice(str(error), is_problem=True),
            }
        return self._numbered(found)

    def choose_frame(self, files: list[str] | None, number: float) -> dict[Any, Any]:
        """Chooses another frame of a video as the picture, or moves the picture among images."""
        try:
            video = video_of(files)
            if video is None:
                return {self.wiring.field("number"): gr.skip()}  # Gradio takes no empty one (6.31)
            return self._numbered(beside.frame_of(video, int(number)))
        except InputError as error:
            return {self.wiring.controls.message: notice(str(error), is_problem=True)}

    def _numbered(self, found: beside.QuestionImages) -> dict[Any, Any]:
        """The picture and its number among all images."""
        at = found.seconds[found.number - 1] if found.seconds else None
        slider = gr.Slider(
            maximum=max(found.count, 2),
            value=found.number,
            visible=found.count > 1,
            label=PLACE_LABEL if at is None else FRAME_LABEL,
            info=f"of {found.count}" + ("" if at is None else f", at {at:.1f} s"),
        )
        updates: dict[Any, Any] = {
            self.wiring.field("number"): slider, self.wiring.controls.message: ""
        }  # fmt: skip
        if found.picture is not None:
            updates |= {self.wiring.field("image"): found.picture, **self.other_picture()}
            updates |= self.wiring.mark(found.picture)
        return updates

    def count_text(self, data: Data) -> str:
        """How long the text before the question is."""
        context = data[self.wiring.field("context")]
        count = self.wiring.session_of(data[self.wiring.key]).token_count(context) if context else 0
        return html("note", words=f"{count} tokens before the question.")

    def take_range(self, data: Data, event: gr.EventData) -> dict[Any, Any]:
        """The clicked or dragged layers, as the learning or the injection range."""
        sent = event._data if isinstance(event._data, dict) else {}
        name, ends = sent.get("range"), (sent.get("start"), sent.get("end"))
        known = range(self.wiring.session_of(data[self.wiring.key]).num_layers)
        if name not in ("learning", "injection") or not all(end in known for end in ends):
            return {self.wiring.field("learning_start"): gr.skip()}
        fields = (self.wiring.field(f"{name}_{end}") for end in ("start", "end"))
        return dict(zip(fields, ends, strict=True))

    def draw_plan(self, data: Data) -> str:
        """The row of layers for the current numbers."""
        first, last, start, end, stride = (data[self.wiring.field(name)] for name in _PLAN)
        layers = self.wiring.session_of(data[self.wiring.key]).num_layers
        return plan_strip(layers, (first, last), (start, end), stride)
