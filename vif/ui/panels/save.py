"""Files of the shown result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from vif.ui.actions.save import redraw_script, save_files
from vif.ui.state.result import Result
from vif.ui.state.view import View
from vif.ui.wiring import Wiring


def connect_save(wiring: Wiring) -> None:
    """Preparing the files."""
    a = wiring.answers
    a.prepare.click(
        save, [wiring.result, wiring.view], [a.files, a.script], api_visibility="private"
    )


def save(result: Result | None, view: View) -> Iterator[tuple[Any, Any]]:
    """The files, and the program that draws the shown map again."""
    if result is None:
        return
    code = redraw_script(result, view)
    # Gradio goes on after it has copied the files to its cache, which it empties by age.
    with TemporaryDirectory(prefix="vif-lens-") as folder:
        paths = save_files(result, view, Path(folder))
        yield gr.Files(paths, visible=True), gr.Code(code, visible=True)
