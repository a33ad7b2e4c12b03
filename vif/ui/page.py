"""The page: layout of the two columns, and which action changes what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from vif.session import load
from vif.ui.actions.endpoint import add_endpoint
from vif.ui.actions.handlers import Session
from vif.ui.actions.viewing import connect_files, connect_mixture, connect_view
from vif.ui.guard import Page, Turns
from vif.ui.panels.controls import Controls, build_controls, header
from vif.ui.panels.model_box import build_model_box, connect_model_box
from vif.ui.panels.probing import connect_probes
from vif.ui.panels.results import build_results
from vif.ui.panels.training import build_scrubber, connect_scrubber
from vif.ui.state.examples import read_examples
from vif.ui.state.shelf import Shelf
from vif.ui.theme import html_block
from vif.ui.wiring import Wiring

STATE_SECONDS = 6 * 3600


def build_demo(
    session: Session,
    assets: Path | str = "assets",
    model_box: bool = False,
    turns: Turns | None = None,
    models: Sequence[tuple[str, str]] = (),
) -> gr.Blocks:
    """Builds the page around a loaded model; nothing runs before a person asks.

    Args:
        session: The loaded model, shared by every visitor; what a visitor sees is not.
        assets: Folder with ``examples/examples.json`` and ``training-traces/index.json``; both may
            be absent.
        model_box: Let visitors load other models, which fills this machine's disk and memory, and
            open folders of this machine.
        turns: Shares the model out among visitors.
        models: Models, with their adapters, that visitors may load where `model_box` is off.
    """
    turns = turns or Turns()
    turns.share(session)
    examples = read_examples(Path(assets) / "examples")
    traces = Path(assets) / "training-traces"
    with Page(
        title="VIF Lens",
        analytics_enabled=False,
        delete_cache=(STATE_SECONDS, 4 * STATE_SECONDS),
        turns=turns,
    ) as demo:
        title = html_block(header(session))
        with gr.Row(elem_classes="vl-page"):
            with gr.Column(scale=0, min_width=340, elem_classes="vl-left"):
                controls: Controls = build_controls(session, examples)
                box = build_model_box() if model_box or models else None
            with gr.Column(scale=1, min_width=320, elem_classes="vl-right"):
                results = build_results(session)
                scrubber = build_scrubber(traces, model_box)
        wiring = Wiring(session, controls, results, examples, STATE_SECONDS)
        wiring.shelf = Shelf(
            session,
            load=lambda *name, **more: turns.share(load(*name, **more)),
            allowed=None if model_box else models,
        )
        wiring.connect_form()
        wiring.connect_look()
        wiring.connect_run()
        connect_view(wiring)
        connect_mixture(wiring)
        connect_files(wiring)
        connect_probes(results.probes, wiring)
        if scrubber is not None:
            connect_scrubber(scrubber, traces, model_box, STATE_SECONDS)
        if box is not None:
            connect_model_box(box, wiring, title)
        add_endpoint(session)
    return demo
