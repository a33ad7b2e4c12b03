"""Limits the memory that Gradio and the allocator keep (Gradio 6.31 keeps 10,000 sessions)."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction

_log = logging.getLogger(__name__)

MOST_SESSIONS = 64
IDLE = timedelta(hours=1)
# Records of finished events, which Gradio scans after every event.
_MOST_EVENTS = 100
# Queues of messages that no client has fetched.
_MOST_UNREAD = 200
_SECONDS_BETWEEN_SWEEPS = 60.0
# Of glibc's malloc.h. By itself every thread gets an arena that fills up to its own peak.
_ARENA_MAX, _MOST_ARENAS = -8, 2


class _Nothing(dict):
    """A dictionary that keeps nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __missing__(self, key: Any) -> dict[str, Any]:
        return {}


class StateLimits:
    """Limits what a page keeps.

    Attributes:
        page: The page.
    """

    def __init__(self, page: gr.Blocks) -> None:
        self.page = page
        queue = page._queue
        queue.ANALYTICS_MAX_EVENTS = _MOST_EVENTS
        queue.pending_messages_per_session = type(queue.pending_messages_per_session)(_MOST_UNREAD)
        _from_glibc("mallopt", _ARENA_MAX, _MOST_ARENAS)

    def begin(self, state: Any) -> None:
        """Drops a session's copy of the page's configuration, which only deep links read."""
        if state is not None and not isinstance(state.config_values, _Nothing):
            state.config_values = _Nothing()

    def end(self, fn: BlockFunction, state: Any, session: str | None, event_id: str | None) -> None:
        """Removes what a call leaves behind and nothing reads again."""
        if state is not None:
            # What was sent to the browser to be drawn: Gradio keeps a copy for each session.
            for shown in fn.outputs:
                if isinstance(shown, gr.HTML) and shown._id in state.blocks_config.blocks:
                    state.blocks_config.blocks[shown._id] = shown
        # A call without a session has the name of its event as one.
        if session is not None and session == event_id:
            self._forget(session)

    def sweep(self, now: datetime) -> None:
        """Removes the states of sessions that have been idle for too long."""
        holder, queue = self.page.state_holder, self.page._queue
        for session, used in list(holder.time_last_used.items()):
            if now - used > IDLE:
                self._forget(session)
        for session in set(queue.pending_event_ids_session) - set(_unread(queue)):
            del queue.pending_event_ids_session[session]

    def _forget(self, session: str) -> None:
        holder = getattr(self.page, "state_holder", None)
        if holder is not None:
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)


def _unread(queue: Any) -> list[str]:
    return list(queue.pending_messages_per_session)


@asynccontextmanager
async def sweeping(app: Any) -> AsyncIterator[None]:
    """While a page is served, removes idle sessions and returns freed memory to the system."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_SWEEPS)
            try:
                app.get_blocks().memory.sweep(datetime.now())
            except Exception:  # noqa: BLE001  the next sweep must come, or memory is unbounded
                _log.exception("Idle sessions could not be removed.")
            await asyncio.to_thread(_from_glibc, "malloc_trim", 0)

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()


def launch_limits() -> dict[str, Any]:
    """Returns the part of ``launch()`` that bounds what is kept."""
    return {"state_session_capacity": MOST_SESSIONS, "run_history": False}


def _from_glibc(name: str, *arguments: int) -> None:
    """Calls a function of the allocator; does nothing where there is another one."""
    # On Windows `CDLL(None)` is a TypeError.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        getattr(ctypes.CDLL(None), name)(*arguments)
