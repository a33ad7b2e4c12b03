"""The right column: answers, examples, and the tabs below. Layout only, no events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from vif.charts.style import method_label
from vif.probes import PROBES
from vif.ui.html.answers import answers_html, empty_html
from vif.ui.html.ruler import ruler_panel
from vif.ui.html.strips import example_strip
from vif.ui.html.templates import fill
from vif.ui.state.examples import PageExample
from vif.ui.state.payload import payload_of
from vif.ui.state.result import Result
from vif.ui.theme import html_block, script


@dataclass(frozen=True)
class ProbeBox:
    """The components of the tab of probes; results are shown in `place`."""

    kind: gr.Radio
    note: gr.HTML
    whose: gr.Dropdown
    tracked: gr.Dropdown
    run: gr.Button
    stop: gr.Button
    message: gr.HTML
    place: gr.Column


@dataclass(frozen=True)
class AnswersColumn:
    """The components of the right column.

    Attributes:
        answers: The answers with their maps. Its ``data`` is what the browser draws from, ``view``
            how it opens, ``slices`` more numbers of a large model. It reports the view as
            ``input`` and asks for a slice as ``submit``.
        components: The injected mixture; it reports a changed one as ``submit``.
    """

    answers: gr.HTML
    examples: gr.HTML
    find_row: gr.Row
    body: gr.Column
    tabs: gr.Tabs
    components: gr.HTML
    ruler: gr.HTML
    probes: ProbeBox
    share: gr.Tab
    prepare: gr.Button
    files: gr.Files
    link: gr.Textbox
    command: gr.Textbox
    script: gr.Textbox


def build_answers(examples: Sequence[PageExample], result: Result | None) -> AnswersColumn:
    """Builds the right column: examples, answers and the tabs below.

    Args:
        examples: Shown as a row of buttons.
        result: The answers that are there as the page loads.
    """
    shown = answers_block(result)
    answers = html_block(
        shown["value"],
        js_on_load=script("answers.js"),
        data=shown["data"],
        view=None,
        slices=None,
        elem_id="answers",
    )
    strip = html_block(
        example_strip(examples),
        js_on_load=script("pick.js"),
        visible=bool(examples),
        elem_id="examples",
    )
    find_row = gr.Row()
    column = gr.Column(visible=result is not None, elem_id="body")
    with column as body, gr.Tabs(elem_id="more") as tabs:
        with gr.Tab("Curves", id="curves"):
            html_block(fill("curves"), js_on_load=script("curves.js"), elem_id="curves")
        with gr.Tab("All layers", id="layers"):
            html_block(fill("layers"), js_on_load=script("layers.js"), elem_id="layers")
        with gr.Tab("Components", id="components"):
            components = html_block(
                fill("components"), js_on_load=script("components.js"), elem_id="components"
            )
        with gr.Tab("Probes", id="probes"):
            probes = _probe_box(result)
        with gr.Tab("Pixel ruler", id="ruler"):
            ruler = html_block(ruler_panel(result) if result else "", elem_id="ruler")
        with gr.Tab("Share", id="share") as tab:
            shared = _share()
    return AnswersColumn(
        answers, strip, find_row, body, tabs, components, ruler, probes, tab, *shared
    )


def answers_block(result: Result | None) -> dict[str, Any]:
    """Returns ``value`` and ``data`` of the answers' component."""
    if result is None:
        return {"value": empty_html(), "data": None}
    data = payload_of(result)
    return {"value": answers_html(result, data), "data": data}


def answers_to_track(result: Result) -> list[tuple[str, str]]:
    """Pairs of label and answer: the right answer, if it is known, then the given ones."""
    truth = result.truth
    right = [] if truth is None else [(f"{truth.answer} (right)", truth.answer)]
    said = [(f"{t.answer} ({method_label(name)})", t.answer) for name, t in result.traces.items()]
    shown: dict[str, str] = {}
    for words, answer in right + said:
        if answer:
            shown.setdefault(answer, words)
    return [(words, answer) for answer, words in shown.items()]


def _probe_box(result: Result | None) -> ProbeBox:
    """The controls of the probes, and the place of their results."""
    first, known = "knockout", answers_to_track(result) if result is not None else []
    with gr.Column(elem_classes="vl-probes"):
        kind = gr.Radio(
            [(probe.label, name) for name, probe in PROBES.items()],
            value=first,
            show_label=False,
            container=False,
            elem_id="probe-kind",
        )
        note = html_block(f'<p class="vl-note">{PROBES[first].does}</p>', elem_id="probe-note")
        with gr.Row(elem_classes="vl-run vl-probe-run"):
            whose = gr.Dropdown(
                [], label="Map of", visible=False, scale=2, min_width=160, elem_id="probe-whose"
            )
            tracked = gr.Dropdown(
                known, value=known[0][1] if known else None, label="Tracked answer",
                info="Empty: its own. Choose, or type another.",
                allow_custom_value=True, scale=2, min_width=160, elem_id="probe-tracked",
            )  # fmt: skip
            run = gr.Button("Run the probe", size="sm", min_width=120, elem_id="probe-run")
            stop = gr.Button(
                "Stop", size="sm", interactive=False, min_width=70, elem_id="probe-stop"
            )
        message = html_block(elem_id="probe-message", elem_classes="vl-message")
        place = gr.Column(elem_id="probe-results")
    return ProbeBox(kind, note, whose, tracked, run, stop, message, place)


def _share() -> tuple[gr.Button, gr.Files, gr.Textbox, gr.Textbox, gr.Textbox]:
    """The zip, the link, the command and the program of the result."""
    html_block(fill("share"))
    prepare = gr.Button("Prepare the zip", size="sm", scale=0, min_width=200, elem_id="prepare")
    files = gr.Files(label="Files", interactive=False, visible=False, elem_id="files")
    link = gr.Textbox(label="Link", interactive=False, buttons=["copy"], elem_id="link")
    # Not code editors: Gradio's lack contrast and keyboard access.
    command, program = (
        gr.Textbox(
            label=label, interactive=False, buttons=["copy"], lines=lines, max_lines=20,
            elem_id=name, elem_classes="vl-code",
        )
        for label, lines, name in (("Command", 2, "command"), ("Python", 8, "script"))
    )  # fmt: skip
    return prepare, files, link, command, program
