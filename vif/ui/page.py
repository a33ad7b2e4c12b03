"""The page: layout of the two columns, and which action changes what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from vif.session import Session
from vif.ui.actions.recorded import first_result
from vif.ui.features.compare import Compare, build_compare, connect_compare
from vif.ui.features.find import build_find, connect_find
from vif.ui.features.form import connect_form
from vif.ui.features.ladder import TAB as LADDER_TAB
from vif.ui.features.ladder import build_ladder, connect_ladder
from vif.ui.features.lens import build_lens, connect_lens
from vif.ui.features.lessons import build_lessons, connect_lessons
from vif.ui.features.model_box import build_model_box, connect_model_box
from vif.ui.features.posterior import Posterior, build_posterior, connect_posterior
from vif.ui.features.probing import connect_probes
from vif.ui.features.reopen import build_reopen, connect_reopen
from vif.ui.features.share import connect_share
from vif.ui.features.training import build_scrubber, connect_scrubber
from vif.ui.guard import Page, Turns
from vif.ui.html.templates import fill
from vif.ui.panels.answers import build_answers
from vif.ui.panels.controls import build_controls, header
from vif.ui.programs.endpoint import add_endpoint
from vif.ui.programs.tools import add_tools
from vif.ui.state.examples import PageExample, read_examples
from vif.ui.state.result import Result
from vif.ui.state.shelf import Key, Shelf
from vif.ui.theme import html_block
from vif.ui.wiring import Wiring
from vif.ui.zero import load_here, on_gpu

STATE_SECONDS = 6 * 3600


def build_api(session: Session, turns: Turns | None = None) -> gr.Blocks:
    """Builds the endpoints for programs alone, with the limits and the queue of the page.

    Args:
        session: The loaded model.
        turns: Shares the model out among requests.
    """
    turns = turns or Turns()
    turns.share(on_gpu(session, turns.seconds))
    with Page(title="VIF Lens", analytics_enabled=False, turns=turns) as demo:
        html_block(fill("api", name=session.name))
        _add_programs(session)
    return demo


def build_demo(
    session: Session,
    assets: Path | str = "assets",
    model_box: bool = False,
    turns: Turns | None = None,
    models: Sequence[tuple[str, str]] = (),
    opened: Result | None = None,
) -> gr.Blocks:
    """Builds the page around a loaded model.

    Args:
        session: The loaded model, shared by every visitor; what a visitor sees is not.
        assets: Folder with ``examples/examples.json`` and ``training-traces/index.json``; both may
            be absent.
        model_box: Let visitors load other models, which fills this machine's disk and memory, and
            open folders of this machine.
        turns: Shares the model out among visitors.
        models: Models, with their adapters, that visitors may load where `model_box` is off.
        opened: Answers to show as the page loads, instead of the first example's.
    """
    turns = turns or Turns()
    turns.share(on_gpu(session, turns.seconds))
    examples: Sequence[PageExample] = read_examples(Path(assets) / "examples")
    traces = Path(assets) / "training-traces"
    measured = Path(assets) / "results" / "attenuation" / "attenuation.json"
    shown = opened or first_result(examples)
    with Page(
        title="VIF Lens",
        analytics_enabled=False,
        delete_cache=(STATE_SECONDS, 4 * STATE_SECONDS),
        turns=turns,
    ) as demo:
        title = html_block(header(session), elem_id="title")
        with gr.Row(elem_classes="vl-page"):
            with gr.Column(scale=0, min_width=300, elem_classes="vl-form"):
                controls = build_controls(session, examples, opened)
                box = build_model_box(models, model_box) if model_box or models else None
                upload = build_reopen()
            with gr.Column(scale=1, min_width=300, elem_classes="vl-shown"):
                answers = build_answers(examples, shown)
                with answers.find_row:
                    find = build_find()
                with answers.tabs:
                    tabs = _build_tabs(measured)
                scrubber = build_scrubber(traces, model_box)
        lessons = build_lessons()
        wiring = Wiring(session, controls, answers, examples, STATE_SECONDS, shown)
        wiring.shelf = _make_shelf(session, turns, None if model_box else models)
        wiring.connect(demo)
        connect_form(wiring)
        connect_share(wiring)
        connect_reopen(upload, wiring)
        connect_find(find, Path(assets), wiring)
        _connect_tabs(tabs, measured, wiring)
        connect_lessons(lessons, demo, Path(assets), wiring)
        connect_probes(answers.probes, wiring)
        if scrubber is not None:
            connect_scrubber(scrubber, traces, model_box, STATE_SECONDS)
        if box is not None:
            connect_model_box(box, wiring, title)
        _add_programs(session)
    return demo


class _Tabs(NamedTuple):
    ladder: tuple[gr.Button, gr.HTML]
    posterior: Posterior
    lens: gr.HTML
    compare: Compare


def _build_tabs(measured: Path) -> _Tabs:
    """Builds the tabs that are not about the shown answers alone."""
    with gr.Tab("More text", id=LADDER_TAB):
        ladder = build_ladder()
    with gr.Tab("Prior and posterior", id="posterior"):
        posterior = build_posterior()
    with gr.Tab("Logit lens", id="lens"):
        lens = build_lens()
    return _Tabs(ladder, posterior, lens, build_compare(measured))


def _connect_tabs(tabs: _Tabs, measured: Path, wiring: Wiring) -> None:
    connect_ladder(tabs.ladder, wiring)
    connect_posterior(tabs.posterior, wiring)
    connect_lens(tabs.lens, wiring)
    connect_compare(tabs.compare, measured, STATE_SECONDS)


def _add_programs(session: Session) -> None:
    """Adds the endpoints for programs."""
    add_endpoint(session)
    add_tools(session)


def _make_shelf(session: Session, turns: Turns, allowed: Sequence[Key] | None) -> Shelf:
    """A shelf whose models wait for their turns like the page's own."""

    def load_sharing(*name: Any, **more: Any) -> Any:
        return turns.share(on_gpu(load_here(*name, **more), turns.seconds))

    return Shelf(session, load=load_sharing, allowed=allowed)
