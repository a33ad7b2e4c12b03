"""How events run: at once, only the latest, or one after the other on the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.events import Dependency

from vif.ui.guard import MODEL
from vif.ui.html.templates import notice

# A matter of milliseconds: no queue, no spinner.
QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# Of a drag only the latest position counts.
LATEST = {**QUICK, "trigger_mode": "always_last"}
# For what runs the model: `vif.ui.guard` schedules it; a second click on the same button counts
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
    """Shows values in the browser before anything else that the same click starts.

    To be connected first: the page takes the listeners of a click one after the other, so that
    what the server says later stays (Gradio 6.31).
    """
    return {**QUICK, "js": f"() => {json.dumps(updates)}"}


def scroll_to(place: str) -> dict[str, Any]:
    """Scrolls in the browser, no further than needed, until a place is seen.

    Args:
        place: Its `elem_id`.
    """
    js = f"() => {{ document.querySelector('#{place}')?.scrollIntoView({{block: 'nearest'}}); }}"
    return {**QUICK, "js": js}


# For a button that runs the model, and its message: the request may wait for long.
WAITING = _shown({"__type__": "update", "interactive": False}, notice("Waiting for the model …"))
# For the message alone.
STOPPING = _shown(notice("Stopping…"))
# If the run ended before Stop reached it, only this removes the message.
_STOPPED_NOTHING = "(shown) => shown?.includes('Stopping…') ? '' : shown"


def reset_buttons(
    event: Dependency,
    at_rest: Mapping[gr.Button, str],
    message: gr.HTML,
    failed: str,
) -> None:
    """Resets buttons when a run ends, with or without an error.

    Args:
        event: What ran.
        at_rest: Buttons with their labels when nothing runs; an empty label is for one that stops,
            which is locked then.
        message: Where an unexpected error is shown.
        failed: What is shown then.
    """

    def rest() -> list[gr.Button]:
        return [
            gr.Button(words, interactive=True) if words else gr.Button(interactive=False)
            for words in at_rest.values()
        ]

    # After an exception the page runs "failure" alone (Gradio 6.31).
    rested = event.then(rest, None, list(at_rest), **QUICK)
    rested.then(None, message, message, js=_STOPPED_NOTHING, **QUICK)
    event.failure(
        lambda: [*rest(), notice(failed, is_problem=True)], None, [*at_rest, message], **QUICK
    )


def picked_index(event: gr.EventData, count: int) -> int | None:
    """The number a component reported; None unless it is an index below `count`.

    It comes from the browser, so it may be anything.
    """
    index = event._data.get("index") if isinstance(event._data, dict) else None
    is_index = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < count
    return index if is_index else None
