"""The tab of probes: which one, its progress, and results that stay until they are removed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from vif.charts.style import method_label
from vif.probes import PROBES
from vif.progress import Progress
from vif.ui.actions.events import QUICK, SLOW, STOPPING, WAITING, picked_index, reset_buttons
from vif.ui.actions.probe_runs import ProbeOutput, run_probe
from vif.ui.actions.problems import FAILED
from vif.ui.actions.reporting import with_reports
from vif.ui.html.sweep_grid import range_of, sweep_grid
from vif.ui.html.templates import fill, notice
from vif.ui.panels.answers import ProbeBox, answers_to_track
from vif.ui.state.result import Result
from vif.ui.theme import html_block, script
from vif.ui.wiring import Wiring, stop
from vif.ui.zero import run_model

MOST_KEPT = 12
_numbers = itertools.count()


@dataclass(frozen=True, eq=False)
class KeptOutput:
    """A kept result, and what it was computed from.

    Attributes:
        number: Tells results apart.
        title: What was probed.
        source: Question and model; plain text.
        found: What was found.
    """

    number: int
    title: str
    source: str
    found: ProbeOutput


def connect_probes(box: ProbeBox, wiring: Wiring) -> None:
    """Connects choosing, running, stopping and removing."""
    kept, cancel = (gr.State(value, time_to_live=wiring.seconds) for value in ([], None))
    told = [box.note, box.whose, box.tracked]
    box.kind.input(describe, [box.kind, wiring.result, box.tracked], told, **QUICK)
    shown = [box.whose, box.tracked]
    wiring.result.change(menus_for, [box.kind, wiring.result, box.whose], shown, **QUICK)
    outputs = [box.run, box.stop, box.message, cancel, kept]
    inputs = {wiring.key, wiring.result, box.kind, box.whose, box.tracked, kept}
    box.run.click(None, None, [box.run, box.message], **WAITING)
    running = box.run.click(
        partial(probe, box, wiring, cancel, kept),
        inputs,
        outputs,
        show_progress_on=box.message,
        **SLOW,
    )
    reset_buttons(running, {box.run: "Run the probe", box.stop: ""}, box.message, FAILED)
    box.stop.click(None, None, [box.message], **STOPPING)
    box.stop.click(stop, [cancel], None, **QUICK)
    with box.place:

        @gr.render(inputs=[kept])
        def show(results: list[KeptOutput]) -> None:
            for one in results:
                _show(one, kept, wiring, box)


def _show(one: KeptOutput, kept: gr.State, wiring: Wiring, box: ProbeBox) -> None:
    """One result with the button that removes it."""
    with gr.Accordion(one.title, elem_classes="vl-probe", key=f"probe-{one.number}"):
        with gr.Row(elem_classes="vl-probe-head"):
            html_block(fill("probe", one=one))
            remove = gr.Button("Remove", size="sm", scale=0, min_width=80)
        if one.found.sweep is not None:
            grid = html_block(sweep_grid(one.found.sweep), js_on_load=script("pick.js"))
            count = len(one.found.sweep.change)

            def take(event: gr.EventData) -> tuple[Any, ...]:
                return take_range(event, count)

            grid.select(
                take,
                None,
                [wiring.field("injection_start"), wiring.field("injection_end"), box.message],
                **QUICK,
            )
        else:
            gr.Plot(one.found.figure, show_label=False, container=False)
    # Through the queue: outside it a changed state draws nothing again (Gradio 6.31).
    remove.click(
        lambda results: [other for other in results if other.number != one.number],
        [kept],
        [kept],
        show_progress="hidden",
        api_visibility="private",
    )


def take_range(event: gr.EventData, count: int) -> tuple[Any, ...]:
    """The clicked range as the injection range of the settings."""
    index = picked_index(event, count * count)
    if index is None:
        return (gr.skip(),) * 3
    start, end = range_of(index, count)
    words = f"The settings now have injection layers {start} to {end}: run to see the answer."
    return start, end, notice(words)


def describe(kind: str, result: Result | None, tracked: str | None) -> tuple[str, Any, Any]:
    """What the chosen probe does, and the menus that it needs."""
    note = fill("note", words=PROBES[kind].does)
    return note, map_menu(kind, result, None), answer_menu(kind, result, tracked)


def menus_for(kind: str, result: Result | None, old: str | None) -> tuple[Any, Any]:
    """The menus for a new result."""
    return map_menu(kind, result, old), answer_menu(kind, result, None)


def answer_menu(kind: str, result: Result | None, old: str | None) -> gr.Dropdown:
    """The menu of answers to track."""
    if result is None:
        return gr.Dropdown(visible=False)
    choices = answers_to_track(result)
    value = old or (choices[0][1] if choices else None)
    return gr.Dropdown(choices, value=value, visible=PROBES[kind].tracks)


def map_menu(kind: str, result: Result | None, old: str | None) -> gr.Dropdown:
    """The menu of answers whose map can be probed."""
    if result is None:
        return gr.Dropdown(visible=False)
    probe = PROBES[kind]
    names = list(result.injecting if probe.needs_injection else result.traces)
    if probe.needs_whole:
        names = [name for name in names if not result.reads_part(name)]
    choices = [(method_label(name), name) for name in names]
    preferred = [name for name in (old, *result.injecting, *names) if name in names]
    value = preferred[0] if preferred else None
    return gr.Dropdown(choices, value=value, visible=probe.needs_map)


def probe(
    box: ProbeBox,
    wiring: Wiring,
    cancel_state: gr.State,
    kept_state: gr.State,
    data: dict[Any, Any],
) -> Iterator[dict[Any, Any]]:
    """Runs a probe and reports progress; an error or a stop changes no earlier result."""
    result: Result | None = data[wiring.result]
    kept = data[kept_state]
    if result is None or result.form is None:
        yield {box.message: ""}
        return
    if len(kept) >= MOST_KEPT:
        words = f"There are already {MOST_KEPT} results: remove one first."
        yield {box.message: notice(words, is_problem=True)}
        return
    cancel, label = threading.Event(), PROBES[data[box.kind]].label
    yield {
        box.run: gr.Button("Running…", interactive=False),
        box.stop: gr.Button(interactive=True),
        box.message: notice(f"{label} has started."),
        cancel_state: cancel,
    }
    found, problem = yield from with_reports(
        lambda progress: _run(box, wiring, data, cancel, progress),
        lambda done, total: {box.message: notice(f"{label}: {done} of {total} variants.")},
        cancel,
    )
    if found is None:
        yield {box.message: problem or notice("Stopped. Earlier results are still shown.")}
        return
    yield {box.message: "", kept_state: [found, *kept]}


def _run(
    box: ProbeBox,
    wiring: Wiring,
    data: dict[Any, Any],
    cancel: threading.Event,
    progress: Progress,
) -> KeptOutput:
    """Runs the chosen probe of the shown answers."""
    kind, of, result = data[box.kind], data[box.whose], data[wiring.result]
    session = wiring.shelf.get(data[wiring.key])
    name, tracked = of or result.baseline, data[box.tracked] or ""
    found = run_model(
        session, run_probe, kind, result, name, tracked, cancel=cancel, progress=progress
    )
    chosen = PROBES[kind]
    title = chosen.label + (f": {method_label(of)}" if chosen.needs_map and of else "")
    source = f"“{result.form.question}”, {session.name}"
    return KeptOutput(next(_numbers), title, source, found)
