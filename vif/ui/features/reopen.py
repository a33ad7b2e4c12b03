"""Opening what somebody shared: a link in the address bar, or a saved zip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr

from vif import bundle
from vif.ui.actions import fill
from vif.ui.actions.events import QUICK, SLOW
from vif.ui.actions.problems import attempt
from vif.ui.panels.answers import answers_block
from vif.ui.sharing import permalink
from vif.ui.sharing.links import link_of
from vif.ui.sharing.permalink import Link
from vif.ui.state.drawing import Drawing
from vif.ui.state.result import Result
from vif.ui.state.saved import from_bundle
from vif.ui.state.shelf import Key
from vif.ui.state.view import View
from vif.ui.tab import Data
from vif.ui.theme import html_block
from vif.ui.wiring import Wiring

# Unpacked, as the page keeps it in memory.
MOST_BYTES = 200_000_000
# Sends the query of the address to the server, if it describes a view of this page.
_OPEN = """
if (/[?&](model|example|scene)=/.test(location.search)) {
  setTimeout(() => trigger('select', {query: location.search.slice(1)}), 0);
}
"""

Opened = tuple[Result, View]


def build_reopen() -> gr.UploadButton:
    """Builds the button that opens a zip."""
    return gr.UploadButton("Open a saved zip", size="sm", elem_id="open-zip")


def connect_reopen(upload: gr.UploadButton, wiring: Wiring) -> None:
    """Connects the link in the address bar, and zips that are uploaded."""
    reopen, c = Reopen(wiring), wiring.controls
    opener = html_block(js_on_load=_OPEN)
    taken = opener.select(reopen.fill_link, None, [*reopen.filled, reopen.linked], **QUICK)
    wiring.note_form(taken.success)
    asked = {reopen.linked, wiring.example, *wiring.run_inputs}
    wiring.settle(taken.success(reopen.run_link, asked, wiring.run_outputs, **SLOW))
    zipped = [*reopen.filled, reopen.zipped]
    read = upload.upload(reopen.fill_zip, [upload, wiring.key], zipped, **QUICK)
    wiring.note_form(read.success)
    # Through the queue: outside it a changed state triggers no event (Gradio 6.31).
    read.success(
        reopen.show_zip,
        [reopen.zipped],
        [reopen.zipped, wiring.view, c.message, *wiring.result_outputs],
        api_visibility="private", show_progress="hidden", concurrency_limit=None,
    )  # fmt: skip


class Reopen:
    """Restores a shared question in the form, and shows its answers.

    Attributes:
        linked: How the link that was opened shows its answers, as values of `View`; None if it
            could not be read.
        zipped: The result and view of a zip, until they are shown; None if it could not be read.
        filled: Everything on the left that can be shared.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.wiring, c = wiring, wiring.controls
        self.linked = gr.State(None, time_to_live=wiring.seconds)
        self.zipped = gr.State(None, time_to_live=wiring.seconds)
        self.filled = list(
            dict.fromkeys([*wiring.form_outputs, *c.fields.values(), *c.own.sliders])
        )
        self.filled += [wiring.example, wiring.view, c.text_length, c.message]

    def fill_link(self, event: gr.EventData) -> dict[Any, Any]:
        """Fills in the form from a link; an error is one sentence and changes nothing."""
        query = event._data.get("query") if isinstance(event._data, dict) else None
        found, problem = attempt(lambda: self._follow(str(query or "")))
        return found or {self.wiring.controls.message: problem, self.linked: None}

    def _follow(self, query: str) -> dict[Any, Any]:
        wiring, session = self.wiring, self.wiring.session
        page = (session.name, session.defaults, session.num_layers, len(wiring.examples))
        link = permalink.read(query, *page)
        if link.example is not None:
            one = wiring.examples[link.example]
            filled = fill.SceneFill(one.image, one.truths)
        else:
            assert link.scene is not None  # a link that opens has one of the two
            filled = fill.scene(link.scene, link.question)
        question = link.question or filled.truths[0].question
        shown = {k: v for k, v in asdict(View.read(dict(link.view))).items() if k in link.view}
        return {
            **wiring.fill_in(filled, question, link.text, Drawing(link.look)),
            **self._settings(link),
            wiring.example: link.example,
            wiring.view: View.read(dict(link.view)),
            self.linked: shown,
        }

    def _settings(self, link: Link) -> dict[Any, Any]:
        """The fields of a link's methods and settings."""
        wiring = self.wiring
        chosen = {**wiring.session.defaults.chosen, **link.settings}
        (first, last), (start, end) = chosen["learning"], chosen["injection"]
        values = {
            "chosen": list(link.methods),
            "learning_start": first,
            "learning_end": last,
            "injection_start": start,
            "injection_end": end,
            **{n: chosen[n] for n in ("stride", "alpha", "samples", "seed", "max_new_tokens")},
            **({"context": link.context} if link.context else {}),
        }
        own = chosen["options"]
        sliders = {
            slider: own[method][option]
            for method in set(link.methods) & set(own)
            for option, slider in wiring.controls.own.of(method)
            if option in own[method]
        }
        return {**{wiring.field(name): value for name, value in values.items()}, **sliders}

    def run_link(self, data: Data) -> Iterator[dict[Any, Any]]:
        """Answers the question of a link, in the view of the link."""
        wiring = self.wiring
        if data[self.linked] is None:
            yield {wiring.cancel: gr.skip()}
            return
        is_example = data[wiring.example] is not None
        for step in wiring.run_example(data) if is_example else wiring.run(data):
            found = step.get(wiring.result)
            yield {**step, **wiring.show(found, data[self.linked])} if found else step

    def fill_zip(self, path: str, key: Key | None) -> dict[Any, Any]:
        """Fills in the form from a zip; an error is one sentence and changes nothing."""
        found, problem = attempt(lambda: self._read(path, key))
        return found or {self.wiring.controls.message: problem, self.zipped: None}

    def _read(self, path: str, key: Key | None) -> dict[Any, Any]:
        wiring = self.wiring
        saved = bundle.read(path, MOST_BYTES)
        result, view = from_bundle(saved)
        model = Path(saved.model).name
        result = replace(result, source=f"opened from {Path(path).name}, answered by {model}")
        answers_block(result)  # fails here rather than when it is shown
        session = wiring.session_of(key)
        link = link_of(result, view, session.defaults, wiring.examples)
        # Layers and methods of another model make no sense here.
        is_own = saved.model == session.name
        filled = fill.SceneFill(saved.picture, [result.truth] if result.truth else [])
        return {
            **wiring.fill_in(filled, saved.question, link.text, result.filled.drawing),
            wiring.field("context"): saved.context,
            **(self._settings(link) if is_own else {}),
            wiring.example: None,
            self.zipped: (result, view),
        }

    def show_zip(self, opened: Opened | None) -> dict[Any, Any]:
        """Shows the answers of the zip that was just read."""
        # Kept here as well, a large zip would outlive its result.
        update: dict[Any, Any] = {self.zipped: None}
        if opened is not None:
            result, view = opened
            update |= {self.wiring.view: view, **self.wiring.show(result, asdict(view))}
        return update
