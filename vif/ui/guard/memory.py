"""What Gradio keeps of its visitors, bounded (6.31 keeps ten thousand sessions for good)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import gradio as gr

MOST_SESSIONS = 64
IDLE = timedelta(hours=1)
# Records of finished events, of which Gradio makes statistics after every one.
_MOST_EVENTS = 100
# Queues of messages that no client has fetched.
_MOST_UNREAD = 200
_BETWEEN_SWEEPS = timedelta(minutes=1)


class _Nothing(dict):
    """A dictionary that keeps nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __missing__(self, key: Any) -> dict[str, Any]:
        return {}


class Memory:
    """Bounds what a page keeps.

    Attributes:
        page: The page.
    """

    def __init__(self, page: gr.Blocks) -> None:
        self.page = page
        self._swept = datetime.now()
        queue = page._queue
        queue.ANALYTICS_MAX_EVENTS = _MOST_EVENTS
        queue.pending_messages_per_session = type(queue.pending_messages_per_session)(_MOST_UNREAD)

    def begin(self, state: Any) -> None:
        """Keeps no copy of the page's configuration for a session; only deep links read it."""
        if state is not None and not isinstance(state.config_values, _Nothing):
            state.config_values = _Nothing()

    def end(self, session: str | None, event_id: str | None) -> None:
        """Lets a session go that was made for one call, and those that are idle."""
        holder = getattr(self.page, "state_holder", None)
        if holder is None:
            return
        # A call without a session of its own goes under the name of its event.
        leaving = [session] if session is not None and session == event_id else []
        now = datetime.now()
        if now - self._swept > _BETWEEN_SWEEPS:
            self._swept = now
            used = dict(holder.time_last_used)
            leaving += [name for name, at in used.items() if now - at > IDLE]
        for name in leaving:
            holder.session_data.pop(name, None)
            holder.time_last_used.pop(name, None)


def bounded() -> dict[str, Any]:
    """Returns the part of ``launch()`` that bounds what is kept."""
    return {"state_session_capacity": MOST_SESSIONS, "run_history": False}
