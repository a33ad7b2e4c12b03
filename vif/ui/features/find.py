"""The button that searches for a scene where VIF changes the answer."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from vif.bench import BenchItem, ChangeRate, SearchResult, find_change, read_rate
from vif.ui.actions import fill
from vif.ui.actions.ask import steering_method
from vif.ui.actions.events import QUICK, SLOW, WAITING
from vif.ui.actions.problems import attempt
from vif.ui.html.templates import notice
from vif.ui.html.words import counted
from vif.ui.state.form import Truth
from vif.ui.tab import Data
from vif.ui.theme import html_block
from vif.ui.wiring import Wiring
from vif.ui.zero import run_model

Find = tuple[gr.Button, gr.HTML]


def build_find() -> Find:
    """Builds the button and the line that says what was tried."""
    button = gr.Button(
        "Find a scene where VIF changes the answer", size="sm", scale=0, min_width=300,
        elem_id="find",
    )  # fmt: skip
    told = html_block(elem_id="find-told", elem_classes="vl-message")
    return button, told


def connect_find(find: Find, assets: Path, wiring: Wiring) -> None:
    """A click searches, fills in what was found, and asks it."""
    button, told = find
    rate = read_rate(assets / "results" / "bench.json")
    c = wiring.controls
    next_seed = gr.State(None, time_to_live=wiring.seconds)
    is_found = gr.State(False, time_to_live=wiring.seconds)

    def search(data: Data) -> Iterator[dict[Any, Any]]:
        cancel = threading.Event()
        yield {**wiring.busy(cancel), is_found: False, c.message: "", told: notice("Searching.")}
        seed, text = data[next_seed], int(data[c.text_length])
        session = wiring.session_of(data[wiring.key])
        method = steering_method(session).name
        found, problem = attempt(
            lambda: run_model(
                session,
                find_change,
                method,
                seed=secrets.randbelow(fill.MAX_SCENE_SEED) if seed is None else seed,
                context=fill.unrelated_text_of(text),
                cancel=cancel,
            )
        )
        if found is None:
            yield {told: problem}
            return
        words = summary_words(found, rate if method == "vif" else None)
        update = {told: notice(words), next_seed: found.next_seed}
        if found.found is not None:
            update |= _fill_in(wiring, found.found.item, text) | {is_found: True}
        yield update

    def run(data: Data) -> Iterator[dict[Any, Any]]:
        if data[is_found]:
            yield from wiring.run(data)

    filled = [*wiring.form_outputs, c.text_length, c.run, c.stop, c.message, wiring.cancel]
    filled += [told, next_seed, is_found]
    button.click(None, None, [c.run, told], **WAITING)
    event = button.click(search, {wiring.key, c.text_length, next_seed}, filled, **SLOW)
    wiring.note_form(event.success)
    ran = event.success(run, {is_found, *wiring.run_inputs}, wiring.run_outputs, **SLOW)
    wiring.settle(ran)
    event.failure(lambda: notice("The search stopped with an error.", True), None, [told], **QUICK)


def _fill_in(wiring: Wiring, item: BenchItem, text: int) -> dict[Any, Any]:
    """Updates that put a question of the benchmark into the form, after so many tokens of text."""
    seed = item.scene.seed
    known = seed if seed <= fill.MAX_SCENE_SEED else None
    truth = Truth(item.question.text, item.question.answer, item.boxes, known)
    return wiring.fill_in(fill.SceneFill(item.scene.image, [truth]), truth.question, text)


def summary_words(found: SearchResult, rate: ChangeRate | None) -> str:
    """How many questions were asked and how many answers changed, beside the benchmark."""
    counts = found.counts
    words = (
        f"Asked {counted(found.asked, 'relational question')} in random order: "
        f"{counts.get('fixed', 0)} fixed, {counts.get('broken', 0)} broken, "
        f"{counts.get('other', 0)} changed from wrong to wrong."
    )
    if found.cancelled:
        words += " Stopped."
    elif found.found is None:
        words += " None of the answers changed: press again to continue."
    else:
        words += f" The first that changed: “{found.found.item.question.text}”"
    if rate is not None:
        words += (
            f" In the benchmark of {rate.asked:,} test questions of all kinds {rate.fixed} are "
            f"fixed and {rate.broken} broken; among its {rate.relational} relational ones "
            f"{rate.relational_gain} more are fixed than broken."
        )
    return words
