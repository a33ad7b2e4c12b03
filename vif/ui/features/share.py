"""Sharing a result: one zip, a link, a command and a program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from vif.ui.actions.events import LATEST, QUICK
from vif.ui.sharing.links import share
from vif.ui.state.result import Result
from vif.ui.state.saved import to_zip
from vif.ui.state.shelf import Key
from vif.ui.state.view import View
from vif.ui.wiring import Wiring

ZIP_NAME = "vif-lens.zip"
# Completes the link, and puts it into the address bar; other parameters there stay.
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
    """Connects the zip, and the description of the shown result."""
    a = wiring.answers

    def describe(key: Key | None, result: Result | None, view: View) -> tuple[str, ...]:
        if result is None:
            return "", "", ""
        defaults = wiring.session_of(key).defaults
        found = share(result, view, defaults, wiring.examples)
        return found.link, found.command, found.python

    a.prepare.click(save, [wiring.result, wiring.view], [a.files], api_visibility="private")
    shown, told = [wiring.key, wiring.result, wiring.view], [a.link, a.command, a.script]
    for event in (
        gr.on([wiring.result.change, a.share.select], describe, shown, told, **LATEST),
        wiring.viewed.success(describe, shown, told, **QUICK),
    ):
        event.success(None, [a.link], [a.link], js=_FINISH, **QUICK)


def save(result: Result | None, view: View) -> Iterator[Any]:
    """The zip of what is shown."""
    if result is None:
        return
    # Gradio resumes this generator after it has copied the file to its cache.
    with TemporaryDirectory(prefix="vif-lens-") as folder:
        path = Path(folder) / ZIP_NAME
        path.write_bytes(to_zip(result, view))
        yield gr.Files([str(path)], visible=True)
