"""What changes only how a result is shown: views, the mixture, files; none runs the model."""

from __future__ import annotations

import gradio as gr

from vif.ui.actions import mixture_events as mixing
from vif.ui.actions import redraw
from vif.ui.actions.kinds import LATEST, QUICK
from vif.ui.wiring import Wiring


def connect_view(wiring: Wiring) -> None:
    """Layer, head, token and the rest of what only changes how a result is shown."""
    r = wiring.results
    maps = [r.maps, r.sheet]
    r.layer.input(
        lambda *a: (False, *redraw.draw_layer(*a[:3], False, *a[4:])),
        wiring.view_inputs,
        [r.all_layers, *maps],
        **LATEST,
    )
    gr.on([r.all_layers.input], redraw.draw_layer, wiring.view_inputs, maps, **LATEST)
    shared = [component.input for component in r.view[2:]]
    gr.on(shared, mixing.draw_maps_and_mixture, wiring.mixture_inputs, [*maps, r.mixture], **LATEST)
    tokens = [wiring.token, r.cards, *maps, r.curves]
    r.cards.select(redraw.take_token, wiring.view_inputs, tokens, **LATEST)
    r.sheet.select(redraw.take_layer, wiring.view_inputs, [r.layer, r.all_layers, *maps], **LATEST)


def connect_mixture(wiring: Wiring) -> None:
    """Whose mixture, which layer, and what is changed in it."""
    r, inputs = wiring.results, wiring.mixture_inputs
    panel = [r.mixture, *r.change.numbers]
    r.whose.input(mixing.choose_answer, inputs, [r.injected, *panel], **LATEST)
    r.injected.input(mixing.choose_layer, inputs, panel, **LATEST)
    r.shown.input(mixing.draw_mixture, inputs, [r.mixture], **LATEST)
    changed = [wiring.chosen, wiring.changes, *panel]
    # Every click counts, also one that comes before the last is answered.
    r.mixture.select(mixing.take_component, inputs, changed, trigger_mode="multiple", **QUICK)
    gr.on(
        [number.input for number in r.change.numbers],
        mixing.type_numbers,
        [*inputs, *r.change.numbers],
        [wiring.changes, r.mixture],
        **LATEST,
    )
    r.change.undo.click(mixing.undo, inputs, [wiring.changes, *panel], **QUICK)


def connect_files(wiring: Wiring) -> None:
    """Saving."""
    r = wiring.results
    r.prepare.click(redraw.save, wiring.view_inputs, [r.files, r.script], api_visibility="private")
