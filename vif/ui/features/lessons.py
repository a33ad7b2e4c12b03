"""The lessons, opened by ``?lesson=1``: predict, reveal, question. They replace the page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from vif.bench import results_without_text
from vif.inputs.boxes import Box
from vif.ui.actions.events import LATEST, QUICK, SLOW, reset_buttons
from vif.ui.actions.problems import FAILED, STOPPED, attempt
from vif.ui.html.templates import fill, notice
from vif.ui.lessons import STEPS, Classroom, Reveal, Step, prepare, reveal
from vif.ui.theme import html_block, script
from vif.ui.wiring import Wiring
from vif.ui.zero import run_model

# The number is read from the head: the browser never gets the value of a `gr.State`.
_SHOW = """(head) => {
  const query = new URLSearchParams(location.search);
  query.set('lesson', head.match(/data-lesson="([0-9]+)"/)[1]);
  history.replaceState(null, '', `${location.pathname}?${query}`);
  return [];
}"""


@dataclass(frozen=True)
class Lessons:
    """The components of the lessons."""

    box: gr.Column
    head: gr.HTML
    back: gr.Button
    show: gr.Button
    onward: gr.Button
    stop: gr.Button
    message: gr.HTML
    stage: gr.HTML
    after: gr.HTML


def build_lessons() -> Lessons:
    """Builds the lessons, hidden until the address asks for one."""
    with gr.Column(visible=False, elem_id="lessons") as box:
        head = html_block(elem_id="lesson-head")
        with gr.Row(elem_classes="vl-run vl-lesson-run"):
            back = gr.Button("Back", size="sm", min_width=70, elem_id="lesson-back")
            show = gr.Button("Reveal", variant="primary", size="sm", elem_id="lesson-reveal")
            onward = gr.Button("Next", size="sm", min_width=70, elem_id="lesson-next")
            stop = gr.Button(
                "Stop", size="sm", interactive=False, min_width=70, elem_id="lesson-stop"
            )
        message = html_block(elem_id="lesson-message", elem_classes="vl-message")
        stage = html_block(js_on_load=script("frames.js"), elem_id="lesson-stage")
        after = html_block(elem_id="lesson-after")
    return Lessons(box, head, back, show, onward, stop, message, stage, after)


def connect_lessons(lessons: Lessons, demo: gr.Blocks, assets: Path, wiring: Wiring) -> None:
    """Connects opening by address, back and next, drawing a box, revealing and stopping."""
    number, mark, cancel = (gr.State(None, time_to_live=wiring.seconds) for _ in range(3))
    entry = results_without_text(assets / "results" / "bench.json")
    known = wiring.examples, entry
    shown = [number, lessons.box, lessons.head, lessons.back, lessons.onward, lessons.message,
             lessons.stage, lessons.after]  # fmt: skip

    def show_step(at: int, drawn: Box | None) -> list[Any]:
        step = STEPS[at - 1]
        stage, problem = attempt(lambda: prepare(step, Classroom(wiring.session, *known, drawn)))
        return [
            at, gr.Column(visible=True), head_html(step), gr.Button(interactive=at > 1),
            gr.Button(interactive=at < len(STEPS)), problem, stage or "", "",
        ]  # fmt: skip

    def by_address(request: gr.Request) -> list[Any]:
        asked = request.query_params.get("lesson", "") if request else ""
        if not asked:
            return [gr.skip()] * len(shown)
        return show_step(int(asked) if asked in {str(s.number) for s in STEPS} else 1, None)

    def move(by: int, at: int | None, drawn: Box | None) -> list[Any]:
        return show_step(min(max(1, (at or 1) + by), len(STEPS)), drawn)

    def run(at: int | None, drawn: Box | None) -> Iterator[dict[Any, Any]]:
        stopping, step = threading.Event(), STEPS[(at or 1) - 1]
        yield {
            lessons.show: gr.Button("Running…", interactive=False),
            lessons.stop: gr.Button(interactive=True),
            lessons.message: notice("The model is answering."),
            cancel: stopping,
        }
        found, problem = attempt(
            lambda: run_model(wiring.session, reveal_step, step, *known, drawn, cancel=stopping)
        )
        if found is None:
            yield {lessons.message: problem or STOPPED}
        else:
            after = after_html(step, found)
            yield {lessons.message: "", lessons.stage: found.html, lessons.after: after}

    demo.load(by_address, None, shown, **QUICK)
    for button, by in ((lessons.back, -1), (lessons.onward, 1)):
        moved = button.click(partial(move, by), [number, mark], shown, **QUICK)
        moved.then(None, [lessons.head], None, js=_SHOW, **QUICK)
    lessons.stage.select(take_mark, None, [mark], **LATEST)
    told = [lessons.show, lessons.stop, lessons.message, cancel, lessons.stage, lessons.after]
    event = lessons.show.click(run, [number, mark], told, **SLOW)
    reset_buttons(event, {lessons.show: "Reveal", lessons.stop: ""}, lessons.message, FAILED)
    lessons.stop.click(lambda event: event and event.set(), [cancel], None, **QUICK)


def reveal_step(session: Any, step: Step, *known: Any, cancel: threading.Event) -> Reveal:
    """Reveals a step; `known` are the other arguments of `Classroom`."""
    return reveal(step, Classroom(session, *known, cancel=cancel))


def take_mark(event: gr.EventData) -> Box | None:
    """The box that was drawn; None if the browser sent anything else."""
    box = event._data.get("box") if isinstance(event._data, dict) else None
    if not isinstance(box, list) or len(box) != 4:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in box):
        return None
    x0, y0, x1, y1 = map(float, box)
    return (x0, y0, x1, y1) if 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 else None


def head_html(step: Step) -> str:
    """Title of a step and what is to be predicted."""
    return fill("lesson_head", step=step, count=len(STEPS))


def after_html(step: Step, found: Reveal) -> str:
    """What to notice, the question for the class, and the teacher's notes; HTML."""
    return fill("lesson_after", step=step, found=found)
