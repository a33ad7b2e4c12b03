"""The scrubber: a slider over the steps of a training run that shows how its mixture moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.scenes import is_correct
from vif.ui.actions.events import LATEST, QUICK, picked_index
from vif.ui.html.answers import compared_word, probability_of
from vif.ui.html.templates import fill, notice
from vif.ui.panels import inputs
from vif.ui.state.figures import Figure, figure_data
from vif.ui.state.result import Result
from vif.ui.state.training_run import TrainingRun, highest_weight
from vif.ui.theme import figure_block, html_block, script
from vif.ui.tones import colour_classes

_NOTE = (
    '<p class="vl-small">A training run with <code>--trace_steps n</code> records its '
    "answers to a few fixed questions, and the injected maps, every n steps.</p>"
)


@dataclass(frozen=True)
class Scrubber:
    """The components of the panel."""

    panel: gr.Accordion
    folder: gr.Textbox
    open: gr.Button
    message: gr.HTML
    body: gr.Column
    question: gr.Dropdown
    layer: gr.Dropdown
    step: gr.Slider
    strip: gr.HTML
    view: gr.HTML
    figures: gr.HTML


def build_scrubber(bundled: Path, any_folder: bool) -> Scrubber | None:
    """Builds the panel, folded up; None if there is no training to show.

    Args:
        bundled: The traces folder that ships with the page; may be absent.
        any_folder: Let visitors open folders of this machine.
    """
    is_bundled = (bundled / "index.json").is_file()
    if not is_bundled and not any_folder:
        return None
    with gr.Accordion("Watch a training run", open=False, elem_id="training") as panel:
        html_block(_NOTE)
        with gr.Row(elem_classes="vl-training-open"):
            folder = gr.Textbox(
                _near(bundled) if is_bundled else "",
                label="Traces folder",
                placeholder="the run's output folder, then /traces",
                max_lines=1,
                scale=4,
                visible=any_folder,
                elem_id="training-folder",
            )
            words = "Open" if any_folder else "Open a recorded run"
            button = gr.Button(words, size="sm", min_width=90, scale=1, elem_id="training-open")
        message = html_block(elem_id="training-message", elem_classes="vl-message")
        with gr.Column(visible=False) as body:
            with gr.Row():
                question = gr.Dropdown([], label="Question", scale=3, elem_id="training-question")
                layer = gr.Dropdown([], label="Injection layer", scale=1, elem_id="training-layer")
            step = inputs.Slider(
                0,
                1,
                0,
                step=1,
                label="Record, counted from 0",
                buttons=[],
                elem_id="training-step",
            )
            strip = html_block(js_on_load=script("pick.js"), elem_id="training-strip")
            view = html_block(elem_id="training-view")
            figures = figure_block(elem_id="training-figures")
    return Scrubber(
        panel, folder, button, message, body, question, layer, step, strip, view, figures
    )


def _near(folder: Path) -> str:
    """A folder relative to the current one: visitors need not know where the program is."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def connect_scrubber(s: Scrubber, bundled: Path, any_folder: bool, seconds: int) -> None:
    """Connects opening a folder, choosing a question, and the sliders."""
    run, frames = (gr.State(None, time_to_live=seconds) for _ in range(2))

    def open_folder(folder: str) -> list[Any]:
        # A public page reads only its own folder, whatever a browser sends.
        return open_run(folder if any_folder else str(bundled))

    shown = [s.message, frames, s.layer, s.step, s.strip, s.view, s.figures]
    outputs, hidden = [run, s.body, s.question, *shown], "hidden"

    def unfold(known: TrainingRun | None, folder: str) -> list[Any]:
        # The bundled run opens at once; another folder is opened by the button.
        is_new = known is None and folder == s.folder.value
        return open_folder(folder) if is_new and folder else [gr.skip()] * len(outputs)

    opening = [s.open.click, s.folder.submit]
    gr.on(opening, open_folder, [s.folder], outputs, api_visibility="private", show_progress=hidden)
    s.panel.expand(unfold, [run, s.folder], outputs, api_visibility="private", show_progress=hidden)
    s.question.input(
        choose_question, [run, s.question, s.step], shown, api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
    place = [frames, s.layer, s.step]
    gr.on([s.step.input, s.layer.input], slide, place, [s.strip, s.view, s.figures], **LATEST)
    s.strip.select(take_step, place, [s.step, s.strip, s.view, s.figures], **QUICK)


def open_run(folder: str) -> list[Any]:
    """Opens a folder at its first question; an error changes nothing else on the page."""
    try:
        run = TrainingRun.read(folder)
        rest = _first_view(run, 0, len(run.steps) - 1)
    except InputError as error:
        kept = [gr.skip()] * 6
        return [*[gr.skip()] * 3, notice(str(error), is_problem=True), *kept]
    choices = [(q["question"], i) for i, q in enumerate(run.questions)]
    return [run, gr.Column(visible=True), gr.Dropdown(choices, value=0), *rest]


def choose_question(run: TrainingRun | None, question: int | None, step: float) -> list[Any]:
    """Another question at the same step."""
    if run is None or question is None:
        return [gr.skip()] * 7
    try:
        return _first_view(run, int(question), int(step))
    except InputError as error:
        return [notice(str(error), is_problem=True), *[gr.skip()] * 6]


def _first_view(run: TrainingRun, question: int, step: int) -> list[Any]:
    """Message, frames, menus and panel of a question."""
    frames = list(zip(run.steps, run.frames(question), strict=True))
    mixtures = next((m for _, frame in frames for m in frame.injecting.values()), [])
    layers = [(f"Layer {mixture.layer}", i) for i, mixture in enumerate(mixtures)]
    step = min(step, len(frames) - 1)
    return [
        notice(f"This run trains on {run.trained_on}." if run.trained_on else ""),
        frames,
        gr.Dropdown(layers, value=0 if layers else None),
        gr.Slider(maximum=max(1, len(frames) - 1), value=step),
        *slide(frames, 0, step),
    ]


Frames = Sequence[tuple[int, Result]]


def slide(frames: Frames | None, layer: int | None, step: float) -> tuple[Any, ...]:
    """The strip with a step marked, and what was answered and injected there."""
    if not frames:
        return (gr.skip(),) * 3
    step = min(int(step), len(frames) - 1)
    html, data = step_view(frames, int(layer or 0), step)
    return step_strip(frames, step), html, gr.HTML(data=data)


def take_step(event: gr.EventData, frames: Frames | None, layer: int, _: float) -> tuple[Any, ...]:
    """Shows the clicked step of the training run."""
    step = picked_index(event, len(frames or ()))
    return (gr.skip(),) * 4 if step is None else (step, *slide(frames, layer, step))


def step_strip(frames: Frames, chosen: int) -> str:
    """All steps as buttons, with whether the steered answer was right."""
    steps = []
    for step, frame in frames:
        trace = frame.traces[list(frame.traces)[-1]]
        steps.append((step, trace.answer, is_correct(trace.answer, frame.known.answer)))
    return fill("training_steps", steps=steps, chosen=chosen)


def step_view(frames: Frames, layer: int, step: int) -> tuple[str, dict[str, Any] | None]:
    """The answers at a step, and its mixture and map on a scale shared by all steps."""
    number, frame = frames[step]
    position, word = compared_word(frame)
    answers = [
        {
            "name": name,
            "tone": colour_classes(frame.traces)[name],
            "answer": trace.answer,
            "is_right": is_correct(trace.answer, frame.known.answer),
            "probability": probability_of(trace, position, word),
        }
        for name, trace in frame.traces.items()
    ]
    html = fill("training_step", step=number, truth=frame.truth, answers=answers, word=word)
    mixtures = next(iter(frame.injecting.values()), [])
    if not mixtures:
        return html, None
    layer = min(layer, len(mixtures) - 1)
    mixture, boxes = mixtures[layer], frame.known.boxes
    top = highest_weight([other for _, other in frames], layer)
    where = f"Injection layer {mixture.layer}"
    return html, figure_data(
        frame.picture,
        [
            Figure("Components", f"{where}.", mixture=mixture, boxes=boxes),
            Figure(
                "The map they make",
                f"{where}, on the same scale at all steps.",
                cells=frame.first.cells,
                values=mixture.map,
                top=top,
                boxes=boxes,
            ),
        ],
    )
