"""How events run: at once, only the latest, or one after the other on the model."""

from __future__ import annotations

import json
from typing import Any

from vif.ui.actions.redraw import notice
from vif.ui.guard import MODEL

# Redrawing is a matter of milliseconds: no queue, no spinner, and only the latest drag counts.
QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# Of a drag only the latest position counts.
LATEST = {**QUICK, "trigger_mode": "always_last"}
# What runs the model: `vif.ui.guard` shares it out, and a second click on the same button counts
# for nothing.
SLOW = {
    "concurrency_limit": None,
    "concurrency_id": MODEL,
    "trigger_mode": "once",
    # The place in the queue is shown where `show_progress_on` says.
    "show_progress": "minimal",
    "api_visibility": "private",
}


def _shown(*updates: Any) -> dict[str, Any]:
    """Shows values in the browser alone, before anything else that the same click starts.

    To be connected first: the page takes the listeners of a click one after the other, so that
    what the server says later stays (Gradio 6.31).
    """
    return {**QUICK, "js": f"() => {json.dumps(updates)}"}


# Of a button that runs the model and the message beside it: its turn may be long in coming.
WAITING = _shown({"__type__": "update", "interactive": False}, notice("Waiting for the model …"))
# Of the message.
STOPPING = _shown(notice("Stopping…"))
