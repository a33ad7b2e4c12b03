"""A saved zip in the browser, without its model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vif import bundle
from vif.errors import InputError
from vif.ui.page import build_demo
from vif.ui.state.saved import from_bundle
from vif.ui.theme import launch_options


class Replay:
    """What the page needs of a session, without a model: nothing can be asked.

    Args:
        saved: What is shown.
    """

    adapter = None
    is_saved = True

    def __init__(self, saved: bundle.Bundle) -> None:
        self.name = saved.model
        self.backbone = SimpleNamespace(name=saved.model, model=None)
        self.num_layers = saved.first.num_layers
        self.defaults = saved.settings

    def ask(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Raises `InputError`: there is no model."""
        raise InputError(
            "This page shows saved answers and has no model: start VIF Lens to ask questions."
        )

    ask_batch = ask

    def token_count(self, text: str) -> int:
        """Number of words: only a model's tokenizer knows tokens."""
        return len(text.split())


def serve(path: str | Path, host: str = "127.0.0.1", port: int | None = None) -> None:
    """Shows a zip in the browser until it is interrupted.

    Args:
        path: A zip that `vif.bundle.write` wrote.
        host: Where the page is served.
        port: On which port; a free one if None.

    Raises:
        InputError: If the zip cannot be shown.
    """
    saved = bundle.read(path)
    result, _ = from_bundle(saved)
    with tempfile.TemporaryDirectory(prefix="vif-lens-", ignore_cleanup_errors=True) as empty:
        # It has what the page needs of a session to show answers, and no more.
        session: Any = Replay(saved)
        demo = build_demo(session, assets=empty, opened=result)
        demo.launch(server_port=port, inbrowser=True, **launch_options(host))
