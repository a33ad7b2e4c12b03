"""Everything on the right for a result, as updates of the page's components."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import gradio as gr

from vif.draw.charts import method_label
from vif.errors import InputError
from vif.ui.actions import redraw
from vif.ui.actions.changing import Key
from vif.ui.actions.mixture_events import Shown, layer_choices
from vif.ui.actions.redraw import notice
from vif.ui.html.cards import answer_cards
from vif.ui.html.maps import heatmaps
from vif.ui.html.mixtures import chosen_mixture
from vif.ui.html.ruler import ruler_panel
from vif.ui.panels.results import Results, head_choices
from vif.ui.state.components import Changes
from vif.ui.state.result import MixtureView, Result, View

FAILED = "The model stopped with an error; what you typed is kept. The log of the program has more."
# What a model raises when memory, a kernel or a checkpoint fails; PyTorch's own are RuntimeErrors.
_MODEL_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)
_log = logging.getLogger(__name__)
T = TypeVar("T")


def attempt(work: Callable[[], T]) -> tuple[T | None, str]:
    """Returns what `work` gives and an empty message, or None and the sentence to show."""
    try:
        return work(), ""
    except InputError as error:
        return None, notice(str(error), is_problem=True)
    except _MODEL_ERRORS:
        _log.exception("The model stopped with an error.")
        return None, notice(FAILED, is_problem=True)


def view_within(result: Result, view: View) -> View:
    """Returns the view with what this model does not have replaced: a head, a layer, a scale."""
    heads = [value for _, value in head_choices(result.first.num_heads)]
    return replace(
        view,
        head=view.head if str(view.head) in heads else "mean",
        layer=None if view.layer is None else result.first.nearest_layer(view.layer),
        scale=view.scale if result.has_tiles else "whole",
    )


def show_result(
    r: Results,
    result: Result,
    view: View,
    choice: MixtureView,
    made: dict[Key, Changes] | None = None,
) -> dict[Any, Any]:
    """Returns updates of all components of the right column.

    Args:
        r: The components.
        result: The answers to show.
        view: How; made to fit the result.
        choice: Which mixture.
        made: What was changed in mixtures.
    """
    view, last = view_within(result, view), result.first.num_layers - 1
    return {
        r.body: gr.Column(visible=True),
        r.cards: answer_cards(result, view),
        r.maps: heatmaps(result, view),
        r.sheet: redraw.draw_sheet(result, view),
        r.curves: redraw.curve_figure(result, view),
        r.head: gr.Dropdown(head_choices(result.first.num_heads), value=str(view.head)),
        r.ruler: ruler_panel(result),
        r.layer: gr.Slider(maximum=last)
        if view.layer is None
        else gr.Slider(value=view.layer, maximum=last),
        r.scale: gr.Dropdown(value=view.scale, visible=result.has_tiles),
        **_show_mixture(r, Shown(result, view, choice, made or {})),
        **no_files(r),
    }


def no_files(r: Results) -> dict[Any, Any]:
    """Updates that take away the files of an earlier result."""
    return {r.files: gr.Files(None, visible=False), r.script: gr.Code(None, visible=False)}


def _show_mixture(r: Results, shown: Shown) -> dict[Any, Any]:
    """Updates of the mixture's tab."""
    result, choice = shown.result, shown.choice
    key = chosen_mixture(result, choice)
    injecting = result.injecting
    most = max((len(m.weights) for found in injecting.values() for m in found), default=0)
    method, index = key or ("", 0)
    count = max(1, min(choice.shown, most)) if most else choice.shown
    choice = MixtureView(method, index, count, choice.chosen)
    shown = shown.with_choice(choice)
    layers = layer_choices(result, choice)
    whose = [(method_label(name), name) for name in injecting]
    return {
        r.mixture: shown.panel(),
        r.whose: gr.Dropdown(whose, value=method or None, visible=len(whose) > 1),
        r.injected: gr.Radio(layers, value=index if layers else None, visible=bool(layers)),
        # Every sample of the latent brings its own components. Hidden, it keeps its range: the
        # browser goes on sending the old value.
        r.shown: gr.Slider(value=count, maximum=max(2, most), visible=True)
        if most
        else gr.Slider(visible=False),
        r.change.panel: gr.Accordion(visible=bool(most)),
        **dict(zip(r.change.numbers, shown.numbers(), strict=True)),
    }
