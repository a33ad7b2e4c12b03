"""The right column: cards, maps, curves, mixture, files. Layout only, no events."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from vif.draw import render
from vif.methods import vif_free as free
from vif.ui.actions import inputs
from vif.ui.actions.changing import ChangeBox, build_change
from vif.ui.actions.handlers import Session
from vif.ui.actions.probe_runs import PROBES
from vif.ui.html.cards import empty_cards
from vif.ui.html.markup import NO_LAYER, PICK_SCRIPT, SHEET_SCRIPT
from vif.ui.theme import html_block, script

DEFAULT_COMPONENTS = 6
SHOWN = [
    ("Attention as it is", "raw"),
    ("Sinks marked", "marked"),
    ("Sinks taken out", "removed"),
    ("Differences from plain", "difference"),
]


@dataclass(frozen=True)
class ProbeBox:
    """The components of the tab of probes; results are shown in `place`."""

    kind: gr.Radio
    note: gr.HTML
    whose: gr.Dropdown
    run: gr.Button
    stop: gr.Button
    message: gr.HTML
    place: gr.Column


@dataclass(frozen=True)
class Results:
    """The components of the right column; `view` is in the order of `handlers.view_of`."""

    cards: gr.HTML
    body: gr.Column
    maps: gr.HTML
    sheet: gr.HTML
    curves: gr.Plot
    mixture: gr.HTML
    layer: gr.Slider
    all_layers: gr.Checkbox
    head: gr.Dropdown
    scale: gr.Dropdown
    ruler: gr.HTML
    view: list[gr.components.Component]
    whose: gr.Dropdown
    injected: gr.Radio
    shown: gr.Slider
    change: ChangeBox
    probes: ProbeBox
    prepare: gr.Button
    files: gr.Files
    script: gr.Code


def build_results(session: Session) -> Results:
    """Builds the column; everything below the cards stays hidden until the first run."""
    cards = html_block(empty_cards(), js_on_load=PICK_SCRIPT, elem_id="cards")
    with gr.Column(visible=False, elem_id="body") as body:
        layer, all_layers, head, scale, display = _view_controls(session)
        maps = html_block(elem_id="maps")
        with gr.Tabs(elem_id="more"):
            with gr.Tab("Curves", id="curves"):
                curves = gr.Plot(show_label=False, container=False, elem_id="curves")
                html_block(_CURVES_NOTE)
            with gr.Tab("All layers", id="sheet"):
                sheet = html_block(js_on_load=SHEET_SCRIPT, chosen=NO_LAYER, elem_id="sheet")
            with gr.Tab("Mixture", id="mixture"):
                whose, injected, shown = _mixture_controls(session)
                # Above what it changes, so that its buttons stay where they are.
                change = build_change()
                mixture = html_block(
                    js_on_load=PICK_SCRIPT + script("mixture.js"), elem_id="mixture"
                )
            with gr.Tab("Probes", id="probes"):
                probes = _probe_box()
            with gr.Tab("Pixel ruler", id="ruler"):
                ruler = html_block(elem_id="ruler")
            with gr.Tab("Save", id="save"):
                prepare, files, program = _save()
    normalised, palette, opacity, show = display
    view = [layer, all_layers, head, normalised, palette, opacity, scale, show]
    return Results(
        cards, body, maps, sheet, curves, mixture, layer, all_layers, head, scale, ruler, view,
        whose, injected, shown, change, probes, prepare, files, program,
    )  # fmt: skip


_CURVES_NOTE = (
    '<p class="vl-note vl-pad">Read from left to right, from the first decoder layer to the last. '
    "<b>How much</b>: which part of its attention the answer spends on the image; a falling line "
    "is attenuation. <b>How widely</b>: 0 means that it looks at one spot, 1 that it looks "
    "everywhere alike. <b>On target</b>, where the true place is known: which part of the look "
    "at the image lies on what was asked about. All are means over heads for the chosen token. "
    "Attention shows where a model reads, not why it answers.</p>"
)


def _view_controls(
    session: Session,
) -> tuple[gr.Slider, gr.Checkbox, gr.Dropdown, gr.Dropdown, tuple[gr.components.Component, ...]]:
    """Which map is shown, and how; none of them runs the model."""
    with gr.Row(elem_classes="vl-toolbar", elem_id="toolbar"):
        with gr.Column(scale=3, min_width=220, elem_classes="vl-tight"):
            layer = inputs.Slider(
                0,
                session.num_layers - 1,
                session.defaults.injection[1],
                step=1,
                label="Layer",
                buttons=[],
                elem_id="layer",
            )
            all_layers = gr.Checkbox(
                False, label="Mean of all layers", container=False, elem_id="all-layers"
            )
        head = gr.Dropdown(
            _heads(0), value="mean", label="Heads", scale=2, min_width=130, elem_id="head"
        )
        with gr.Column(scale=2, min_width=190, elem_classes="vl-tight"):
            normalised = gr.Radio(
                [("Share", False), ("Normalised", True)], value=False, label="Values",
                elem_id="scale",
            )  # fmt: skip
            show = gr.Dropdown(SHOWN, value="raw", label="Show", show_label=False, elem_id="show")
        with gr.Column(scale=2, min_width=150, elem_classes="vl-tight"):
            palette = gr.Dropdown(
                list(render.PALETTES), value="viridis", label="Colours", elem_id="palette"
            )
            scale = gr.Dropdown(
                [("Whole image", "whole"), ("Tiles", "tiles"), ("All blended", "all")],
                value="whole",
                label="Scale",
                visible=False,
                elem_id="tiles",
            )
        opacity = inputs.Slider(
            0, 1, 0.6, step=0.05, label="Opacity", buttons=[], scale=2, min_width=130,
            elem_id="opacity",
        )  # fmt: skip
    return layer, all_layers, head, scale, (normalised, palette, opacity, show)


def _heads(num_heads: int) -> list[tuple[str, str]]:
    """Choices of the head menu; the number of heads is known after the first run."""
    named = [("Mean of heads", "mean"), ("Max over heads", "max")]
    return named + [(f"Head {head}", str(head)) for head in range(num_heads)]


def head_choices(num_heads: int) -> list[tuple[str, str]]:
    """Returns the choices of the head menu for a model with so many heads."""
    return _heads(num_heads)


def _mixture_controls(session: Session) -> tuple[gr.Dropdown, gr.Radio, gr.Slider]:
    """Whose mixture, of which injection layer, and how many of its components."""
    most = session.adapter.config.num_components if session.adapter else free.NUM_COMPONENTS
    with gr.Row(elem_classes="vl-toolbar"):
        whose = gr.Dropdown(
            [], label="Answer", visible=False, scale=2, min_width=160, elem_id="whose"
        )
        injected = gr.Radio([], label="Injection layer", scale=3, elem_id="injected")
        shown = inputs.Slider(
            1,
            max(2, most),
            min(DEFAULT_COMPONENTS, most),
            step=1,
            label="Components shown",
            buttons=[],
            scale=2,
            min_width=160,
            elem_id="shown",
        )
    return whose, injected, shown


def _probe_box() -> ProbeBox:
    """Which probe, of which answer's map, and where results go."""
    first = next(iter(PROBES))
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
            run = gr.Button("Run the probe", size="sm", min_width=120, elem_id="probe-run")
            stop = gr.Button(
                "Stop", size="sm", interactive=False, min_width=70, elem_id="probe-stop"
            )
        message = html_block(elem_id="probe-message", elem_classes="vl-message")
        place = gr.Column(elem_id="probe-results")
    return ProbeBox(kind, note, whose, run, stop, message, place)


def _save() -> tuple[gr.Button, gr.Files, gr.Code]:
    """Everything to look at the result again without the model."""
    html_block(
        '<p class="vl-note">Traces hold every number on this page: open them with '
        "<code>vif.trace.Trace.load</code>. <code>redraw.py</code> draws the heatmap above from "
        "the saved files.</p>"
    )
    prepare = gr.Button("Prepare the files", size="sm", elem_id="prepare")
    files = gr.Files(label="Files", interactive=False, visible=False, elem_id="files")
    script = gr.Code(
        language="python", label="redraw.py", interactive=False, visible=False, elem_id="script"
    )
    return prepare, files, script
