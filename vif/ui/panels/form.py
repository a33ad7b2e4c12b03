"""Filling in the form: scenes, examples, suggestions, text before the question, layer ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from vif.ui.actions import fill
from vif.ui.actions.events import LATEST, QUICK, SLOW, picked
from vif.ui.html.strips import plan_strip, suggestion_strip
from vif.ui.html.templates import fill as html
from vif.ui.panels import choice
from vif.ui.wiring import Data, Wiring

# Fields that the row of layers is drawn from.
_PLAN = ("learning_start", "learning_end", "injection_start", "injection_end", "stride")


def connect_form(wiring: Wiring) -> None:
    """Scenes, examples, suggestions, methods, text before the question, layer ranges."""
    c, filling = wiring.controls, Filling(wiring)
    filled = [*wiring.filled, c.text_length, c.message]
    c.draw.click(filling.draw_scene, None, filled, **QUICK)
    question = [wiring.field("question")]
    c.suggestions.select(filling.take_suggestion, {wiring.truths}, question, **QUICK)
    examples = wiring.answers.examples
    taken = examples.select(filling.take_example, None, [*filled, c.run, wiring.example], **QUICK)
    wiring.note_form(taken.success)
    known = {wiring.example, *wiring.asked}
    wiring.settle(taken.success(wiring.run_example, known, wiring.told, **SLOW))
    image, context = wiring.field("image"), wiring.field("context")
    other = [wiring.truths, c.suggestions]
    gr.on([image.upload, image.clear], filling.other_picture, None, other, **QUICK)
    c.text_length.input(
        lambda data: fill.unrelated(data[c.text_length]), {c.text_length}, [context], **LATEST
    )
    context.change(filling.count_text, {wiring.key, context}, [c.context_note], **QUICK)
    menu = wiring.field("chosen")
    following = [menu, c.settings, *c.own.panels.values()]
    menu.change(lambda data: choice.follow(c.own, data[menu]), {menu}, following, **QUICK)
    numbers = [wiring.field(name) for name in _PLAN]
    changes = [number.change for number in numbers]
    gr.on(changes, filling.draw_plan, {wiring.key, *numbers}, [c.plan], **QUICK)
    c.plan.select(filling.take_range, {wiring.key}, numbers[:4], **QUICK)


@dataclass(frozen=True)
class Filling:
    """What a click fills in; `Wiring` says where.

    A class, as Gradio hands its event to methods, but not to partial functions.
    """

    wiring: Wiring

    def draw_scene(self) -> dict[Any, Any]:
        """A new scene with its first question, without the text that an example brought."""
        return self.wiring.fill_in(fill.new_scene())

    def take_example(self, event: gr.EventData) -> dict[Any, Any]:
        """The clicked example; it is run next."""
        index = picked(event, len(self.wiring.examples))
        if index is None:
            raise gr.Error("This example does not exist: reload the page.", print_exception=False)
        one, c = self.wiring.examples[index], self.wiring.controls
        filled = self.wiring.fill_in(fill.SceneFill(one.image, one.truths), one.question, one.text)
        return {**filled, c.run: gr.Button(interactive=False), self.wiring.example: index}

    def take_suggestion(self, data: Data, event: gr.EventData) -> Any:
        """The clicked suggestion as the question."""
        questions = fill.questions_of(data[self.wiring.truths] or [])
        index = picked(event, len(questions))
        return gr.skip() if index is None else questions[index]

    def other_picture(self) -> dict[Any, Any]:
        """A scene's questions do not fit another picture: general ones are offered."""
        strip = suggestion_strip(fill.questions_of([]))
        return {self.wiring.truths: [], self.wiring.controls.suggestions: strip}

    def count_text(self, data: Data) -> str:
        """How long the text before the question is."""
        context = data[self.wiring.field("context")]
        count = self.wiring.session_of(data[self.wiring.key]).token_count(context) if context else 0
        return html("note", words=f"{count} tokens before the question.")

    def take_range(self, data: Data, event: gr.EventData) -> dict[Any, Any]:
        """The layers that were clicked or dragged over, as the range that their row stands for."""
        sent = event._data if isinstance(event._data, dict) else {}
        name, ends = sent.get("range"), (sent.get("start"), sent.get("end"))
        known = range(self.wiring.session_of(data[self.wiring.key]).num_layers)
        if name not in ("learning", "injection") or not all(end in known for end in ends):
            return {}
        fields = (self.wiring.field(f"{name}_{end}") for end in ("start", "end"))
        return dict(zip(fields, ends, strict=True))

    def draw_plan(self, data: Data) -> str:
        """The row of layers for the numbers that stand in the fields."""
        first, last, start, end, stride = (data[self.wiring.field(name)] for name in _PLAN)
        layers = self.wiring.session_of(data[self.wiring.key]).num_layers
        return plan_strip(layers, (first, last), (start, end), stride)
