"""The tab that compares results of ``vif attenuation``: models, methods, one metric at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from vif.charts.style import method_label
from vif.errors import InputError
from vif.measure import METRICS, MeasuredCurves
from vif.measure.lines import names_of
from vif.measure.page import VIEWS, draw_metric
from vif.ui.actions.events import QUICK
from vif.ui.html.templates import fill, notice
from vif.ui.state.measured import OpenedResults, ResultFiles
from vif.ui.theme import html_block

_NOTE = (
    '<p class="vl-note">One question says little about a model. <code>python -m vif '
    "attenuation --model-path … --data …</code> asks many questions and writes "
    "<code>attenuation.json</code>. Open one or more such files here to compare models and "
    "methods. The files belong to this browser tab and are not kept.</p>"
)


@dataclass(frozen=True)
class Compare:
    """The components of the tab."""

    tab: gr.Tab
    files: gr.Files
    bundled: gr.Checkbox
    metric: gr.Dropdown
    view: gr.Dropdown
    methods: gr.CheckboxGroup
    message: gr.HTML
    plot: gr.Plot
    table: gr.HTML


def build_compare(bundled: Path) -> Compare:
    """Builds the tab that compares measured curves.

    Args:
        bundled: The shipped model's own result; may be absent.
    """
    has_bundled = bundled.is_file()
    with gr.Tab("Compare models", id="compare") as tab:
        html_block(_NOTE)
        # Any file is accepted here: errors of `Result.load` say more than Gradio's would.
        files = gr.Files(label="Results of vif attenuation", height=120, elem_id="compare-files")
        shown = gr.Checkbox(
            has_bundled,
            label="Also show the bundled model's own result",
            visible=has_bundled,
            elem_id="compare-bundled",
        )
        with gr.Row():
            metric = gr.Dropdown(
                [(one.label, one.name) for one in METRICS], value="share", label="Metric",
                min_width=220,
                elem_id="compare-metric",
            )  # fmt: skip
            view = gr.Dropdown(
                [(words, i) for i, (words, *_) in enumerate(VIEWS)], value=0, label="Rows",
                min_width=220, elem_id="compare-rows",
            )  # fmt: skip
        methods = gr.CheckboxGroup([], label="Methods", elem_id="compare-methods")
        message = html_block(elem_id="compare-message", elem_classes="vl-message")
        plot = gr.Plot(show_label=False, container=False, visible=False, elem_id="compare-plot")
        table = html_block(elem_id="compare-table")
    return Compare(tab, files, shown, metric, view, methods, message, plot, table)


def connect_compare(c: Compare, bundled: Path, seconds: int) -> None:
    """Connects opening the tab, opening files, and choosing what is drawn.

    Args:
        c: The components.
        bundled: As in `build_compare`.
        seconds: How long a state is kept after its last use.
    """
    opened, readings = gr.State(None, time_to_live=seconds), ResultFiles()

    @cache
    def shipped() -> MeasuredCurves:
        return MeasuredCurves.load(bundled)

    def show(data: dict[Any, Any], is_new: bool) -> dict[Any, Any]:
        kept: OpenedResults | None = data[opened]
        try:
            kept = readings.open(data[c.files] or (), kept)
            results = [*([shipped()] if data[c.bundled] else []), *(kept.results or ())]
        except InputError as error:
            return {c.message: notice(str(error), is_problem=True)}
        known = list(dict.fromkeys(e["method"] for r in results for e in r.entries))
        chosen = known if is_new else [name for name in data[c.methods] if name in known]
        figure = draw_metric(results, data[c.metric], data[c.view], chosen) if results else None
        choices = [(method_label(name), name) for name in known]
        return {
            opened: kept,
            c.methods: gr.CheckboxGroup(choices, value=chosen),
            c.message: notice("" if figure else _nothing(results, known, chosen)),
            c.plot: gr.Plot(figure, visible=figure is not None),
            c.table: fill("compare", results=[*zip(names_of(results), results, strict=True)])
            if results
            else "",
        }

    inputs = {opened, c.files, c.bundled, c.metric, c.view, c.methods}
    outputs = [opened, c.methods, c.message, c.plot, c.table]
    new = [c.files.change, c.bundled.input]
    gr.on(new, lambda data: show(data, True), inputs, outputs, **QUICK)
    # Opened for the first time the tab shows all methods, later those that were chosen.
    c.tab.select(lambda data: show(data, data[opened] is None), inputs, outputs, **QUICK)
    chosen = [one.input for one in (c.metric, c.view, c.methods)]
    gr.on(chosen, lambda data: show(data, False), inputs, outputs, **QUICK)


def _nothing(results: Sequence[MeasuredCurves], known: Sequence[str], chosen: Sequence[str]) -> str:
    """Why there is nothing to draw."""
    if not results:
        return "No file is open."
    if known and not chosen:
        return "No method is chosen."
    return (
        "No open file has this metric: its questions had no boxes, or no texts of several lengths."
    )
