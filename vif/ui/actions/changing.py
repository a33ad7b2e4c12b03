"""Changing one component of the mixture with numbers, and asking again with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from vif.errors import InputError
from vif.inputs.images import open_image
from vif.model.generation import Cancelled
from vif.ui.actions.handlers import Session
from vif.ui.html.mixtures import chosen_mixture
from vif.ui.state.components import Changes
from vif.ui.state.result import MixtureView, Result
from vif.ui.theme import html_block

Key = tuple[str, int]
CHANGED = "changed"
_NOTE = (
    '<p class="vl-small">Mute a component, let only one count, drag it on the picture, or '
    "highlight it and type numbers. <b>Ask again</b> steers every injection layer with this map, "
    "with the strength of VIF, and shows the answer beside the others.</p>"
)


@dataclass(frozen=True)
class ChangeBox:
    """The components of the panel; `numbers` are x, y, sigma and weight."""

    panel: gr.Accordion
    numbers: list[gr.Number]
    ask: gr.Button
    undo: gr.Button


def build_change() -> ChangeBox:
    """Builds the panel, folded up."""
    with gr.Accordion("Change it and ask again", open=False, elem_id="change") as panel:
        html_block(_NOTE)
        with gr.Row(elem_classes="vl-numbers"):
            numbers = [
                gr.Number(
                    label=name,
                    minimum=0,
                    maximum=1,
                    step=0.01,
                    interactive=False,
                    min_width=80,
                    elem_id=f"component-{name}",
                )
                for name in ("x", "y", "sigma", "weight")
            ]
        with gr.Row(elem_classes="vl-run"):
            ask = gr.Button("Ask again", size="sm", min_width=90, elem_id="ask-again")
            undo = gr.Button("Undo all changes", size="sm", min_width=90, elem_id="undo-changes")
    return ChangeBox(panel, numbers, ask, undo)


def component_of(result: Result, choice: MixtureView) -> int | None:
    """Index of the highlighted component in the model's own order; None if none is."""
    key = chosen_mixture(result, choice)
    if key is None or choice.chosen is None:
        return None
    order = np.argsort(-result.traces[key[0]].mixtures[key[1]].weights, kind="stable")
    return int(order[choice.chosen]) if choice.chosen < len(order) else None


def changes_of(made: dict[Key, Changes], result: Result, choice: MixtureView) -> Changes | None:
    """The changes of the shown mixture: those that were made, or none yet."""
    key = chosen_mixture(result, choice)
    if key is None:
        return None
    return made.get(key) or Changes.of(result.traces[key[0]].mixtures[key[1]])


def numbers_for(changes: Changes | None, index: int | None) -> list[gr.Number]:
    """The four fields for a component, or empty and locked."""
    if changes is None or index is None:
        return [gr.Number(value=None, interactive=False)] * 4
    values = (*changes.means[index], changes.sigmas[index], changes.weights[index])
    return [gr.Number(value=round(float(value), 3), interactive=True) for value in values]


def ask_again(
    session: Session,
    result: Result,
    choice: MixtureView,
    made: dict[Key, Changes],
    cancel: threading.Event,
) -> Result | None:
    """Runs the model once with the changed mixture; None if it was stopped.

    Raises:
        InputError: If there is nothing to change, or no component is left.
    """
    key = chosen_mixture(result, choice)
    if key is None or result.form is None:
        raise InputError("There is no mixture to change: run a method that injects one first.")
    method, index = key
    source = result.traces[method]
    if not len(source.mixtures[index].weights):
        raise InputError(
            "This map is not a mixture of Gaussians: choose an answer whose map is one, such as "
            "VIF's."
        )
    changes = changes_of(made, result, choice)
    mixture = changes.apply(source.mixtures[index], source, result.renderer_of(method))
    options: dict[str, Any] = {**result.form.settings(), "methods": ["look"], "look": mixture.map}
    try:
        trace = session.ask(
            open_image(result.form.image), result.form.question, cancel=cancel, **options
        )["look"]
    except Cancelled:
        return None
    mixtures = [
        replace(
            found, source=mixture.source, means=mixture.means, sigmas=mixture.sigmas,
            weights=mixture.weights,
        )
        for found in trace.mixtures
    ]  # fmt: skip
    words = f"layer {mixture.layer}'s mixture, {changes.told()}, in all injection layers"
    meta = trace.meta | {"changed": words}
    return result.beside(CHANGED, replace(trace, mixtures=mixtures, meta=meta))
