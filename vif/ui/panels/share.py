"""A shown result for others: one zip, a link, a command, a program; and opening a link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from vif.errors import InputError
from vif.ui.actions import fill
from vif.ui.actions.events import QUICK, SLOW
from vif.ui.sharing import permalink
from vif.ui.sharing.links import share
from vif.ui.sharing.permalink import Link
from vif.ui.sharing.saved import to_zip
from vif.ui.state.drawing import Drawing
from vif.ui.state.result import Result
from vif.ui.state.shelf import Key
from vif.ui.state.view import View
from vif.ui.theme import html_block
from vif.ui.wiring import Wiring

ZIP_NAME = "vif-lens.zip"
# Tells the server what stands in the address bar, if that is a view of this page.
_OPEN = """
if (/[?&](example|scene)=/.test(location.search)) {
  setTimeout(() => trigger('select', {query: location.search.slice(1)}), 0);
}
"""
# The link as others need it, and in the address bar; what others put there stays.
_FINISH = """(link) => {
  if (!link.startsWith('?')) return link;
  const found = new URLSearchParams(link);
  const there = new URLSearchParams(location.search);
  for (const key of ['__theme', 'lesson', 'mode']) {
    if (there.has(key)) found.set(key, there.get(key));
  }
  history.replaceState(null, '', `?${found}${location.hash}`);
  return location.origin + location.pathname + link;
}"""


def connect_share(wiring: Wiring) -> None:
    """The zip, the description of the shown result, and links that visitors open."""
    a, c, sharing = wiring.answers, wiring.controls, Sharing(wiring)
    a.prepare.click(save, [wiring.result, wiring.view], [a.files], api_visibility="private")
    told = gr.on(
        [wiring.result.change, wiring.view.change, a.share.select],
        sharing.describe,
        [wiring.key, wiring.result, wiring.view],
        [a.link, a.command, a.script],
        **QUICK,
    )
    told.success(None, [a.link], [a.link], js=_FINISH, **QUICK)
    opener = html_block(js_on_load=_OPEN)
    filled = [*c.fields.values(), *c.own.sliders, wiring.drawing, wiring.truths, wiring.example]
    filled += [wiring.view]
    filled += [c.suggestions, c.text_length, c.message, sharing.linked]
    taken = opener.select(sharing.fill_in, None, filled, **QUICK)
    wiring.note_form(taken.success)
    asked = {sharing.linked, wiring.example, *wiring.asked}
    wiring.settle(taken.success(sharing.run, asked, wiring.told, **SLOW))


def save(result: Result | None, view: View) -> Iterator[Any]:
    """The zip of what is shown."""
    if result is None:
        return
    # Gradio goes on after it has copied the file to its cache, which it empties by age.
    with TemporaryDirectory(prefix="vif-lens-") as folder:
        path = Path(folder) / ZIP_NAME
        path.write_bytes(to_zip(result, view))
        yield gr.Files([str(path)], visible=True)


class Sharing:
    """Describes what is shown, and shows what a link describes.

    Attributes:
        linked: How the link that was opened shows its answers, as values of `View`.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.linked = gr.State(None, time_to_live=wiring.seconds)

    def describe(self, key: Key | None, result: Result | None, view: View) -> tuple[str, ...]:
        """The link, the command and the program of what is shown."""
        if result is None:
            return "", "", ""
        defaults = self.wiring.session_of(key).defaults
        found = share(result, view, defaults, self.wiring.examples)
        return found.link, found.command, found.python

    def fill_in(self, event: gr.EventData) -> dict[Any, Any]:
        """What a link asks, in the form.

        Raises:
            gr.Error: If it cannot be opened here; one sentence says why, the page stays as it is.
        """
        wiring, session = self.wiring, self.wiring.session
        query = event._data.get("query") if isinstance(event._data, dict) else None
        page = (session.name, session.defaults, session.num_layers, len(wiring.examples))
        try:
            link = permalink.read(str(query or ""), *page)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        if link.example is not None:
            one = wiring.examples[link.example]
            filled = fill.SceneFill(one.image, one.truths)
        else:
            assert link.scene is not None  # a link that opens has one of the two
            filled = fill.scene(link.scene, link.question)
        shown = {k: v for k, v in asdict(View.read(dict(link.view))).items() if k in link.view}
        return {
            **wiring.fill_in(filled, link.question or filled.truths[0].question, link.text),
            **self._settings(link),
            wiring.drawing: Drawing(link.look),
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

    def run(self, data: Any) -> Iterator[dict[Any, Any]]:
        """The answers that a link is about, shown as it shows them."""
        wiring = self.wiring
        is_example = data[wiring.example] is not None
        for step in wiring.run_example(data) if is_example else wiring.run(data):
            found = step.get(wiring.result)
            yield {**step, **wiring.show(found, data[self.linked])} if found else step
