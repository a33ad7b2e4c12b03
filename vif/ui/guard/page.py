"""The single path from a request to the page's functions, for all events and endpoints."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.server_messages import EstimationMessage

from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.ui.guard.files import check_files
from vif.ui.guard.memory import StateLimits
from vif.ui.guard.origin import FAILED
from vif.ui.guard.turns import REQUEST, QueuedRequest, Turns

# The `concurrency_id` of functions that run the model.
MODEL = "model"
STOPPED = "This was stopped before it finished."
# Events that have not started; a request that waits for the model has started.
MOST_IN_QUEUE = 64
_SECONDS_BETWEEN_LOOKS = 0.1
_MOST_LOGGED = 300

_log = logging.getLogger(__name__)


class Page(gr.Blocks):
    """Blocks that check requests, share the model among them, and turn errors into sentences.

    Args:
        turns: Shares the model out.
    """

    def __init__(self, *args: Any, turns: Turns | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.turns = turns or Turns()
        # What runs the model goes through the queue, which notices when a client leaves.
        self.queue(max_size=MOST_IN_QUEUE, api_open=False)
        self.memory = StateLimits(self)
        # The requests of running generators, by the event that started them.
        self._running: dict[str, QueuedRequest] = {}

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], *args: Any, **options: Any
    ) -> dict[str, Any]:
        """Runs a function, or the next step of one, for a request.

        Raises:
            gr.Error: With one sentence that is fit to be shown, whatever went wrong.
        """
        fn = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        if options.get("explicit_call"):
            return await super().process_api(fn, inputs, *args, **options)
        event_id = options.get("event_id")
        request = self._running.pop(event_id or "", None)
        self.memory.begin(options.get("state"))
        try:
            if request is None:
                check_files(fn, inputs, options.get("event_data"))
                request = self._request(options)
                if fn.concurrency_id == MODEL:
                    await self._admit(request, event_id)
            token = REQUEST.set(request)
            try:
                output = await super().process_api(fn, inputs, *args, **options)
            finally:
                REQUEST.reset(token)
        except BaseException as error:
            self._end(request, fn, options)
            raise _in_words(error, fn) from error
        if output["is_generating"] and event_id is not None:
            self._keep(event_id, request)
        else:
            self._end(request, fn, options)
        return output

    def _end(
        self, request: QueuedRequest | None, fn: BlockFunction, options: dict[str, Any]
    ) -> None:
        """Releases what was kept for a request."""
        if request is not None:
            self.turns.leave(request)
        about = (options.get(name) for name in ("state", "session_hash", "event_id"))
        self.memory.end(fn, *about)

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], *args: Any, **options: Any
    ) -> list[Any]:
        """Converts the inputs of a request, each by its component.

        Raises:
            InputError: If one of them cannot read it.
        """
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **options)
        except (gr.Error, InputError):
            raise
        except Exception as error:
            raise InputError(_unread(block_fn, inputs)) from error

    def _request(self, options: dict[str, Any]) -> QueuedRequest:
        """The session and address of a request, and whether its client is still connected."""
        client = getattr(options.get("request"), "client", None)
        event = self._event(options.get("event_id"))
        return QueuedRequest(
            session=options.get("session_hash") or "",
            address=getattr(client, "host", None) or "",
            is_gone=lambda: event is not None and not event.alive,
        )

    async def _admit(self, request: QueuedRequest, event_id: str | None) -> None:
        """Waits until a request may run the model, and tells the client its place."""
        self.turns.enter(request)
        event, told = self._event(event_id), None
        while not self.turns.admits(request):
            if request.is_gone():
                raise Cancelled
            place = self.turns.place(request)
            if event is not None and place != told:
                told = place
                message = EstimationMessage(rank=place, queue_size=self.turns.num_waiting)
                self._queue.send_message(event, message)
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    def _keep(self, event_id: str, request: QueuedRequest) -> None:
        """Remembers the request of a running generator, and drops those whose client has left."""
        for other, gone in [(k, v) for k, v in self._running.items() if v.is_gone()]:
            self.turns.leave(gone)
            del self._running[other]
        self._running[event_id] = request

    def _event(self, event_id: str | None) -> Any:
        """Gradio's record of what a client waits for; None for a direct call."""
        return self._queue.event_ids_to_events.get(event_id) if event_id else None


def _unread(fn: BlockFunction, inputs: Any) -> str:
    """Why components could not read what a request brings."""
    labels = [str(getattr(c, "label", None) or c.get_block_name()) for c in fn.inputs]
    count = len(inputs) if isinstance(inputs, list) else 0
    if count != len(labels):
        return f"The request has {count} values, expected {len(labels)}: {', '.join(labels)}."
    return (
        "A value has the wrong type, expected the types that the page sends for "
        f"{', '.join(labels)}: see the description of this endpoint."
    )


def _in_words(error: BaseException, fn: BlockFunction) -> BaseException:
    """The error to show instead of one that was raised, which is logged on one line."""
    if isinstance(error, gr.Error) or not isinstance(error, Exception):
        return error
    if isinstance(error, Cancelled):
        return gr.Error(STOPPED, print_exception=False)
    if isinstance(error, InputError):
        _log.warning("%s refused: %s", fn.name, _one_line(error))
        # Its cause may be a fault of a component, see `preprocess_data`.
        _log.debug("Traceback:", exc_info=error)
        return gr.Error(str(error), print_exception=False)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where, kind = f"{place.filename}:{place.lineno}", type(error).__name__
    _log.error("%s failed in %s: %s: %s", fn.name, where, kind, _one_line(error))
    _log.debug("Traceback:", exc_info=error)
    return gr.Error(FAILED, print_exception=False)


def _one_line(error: Exception) -> str:
    """The start of a message, on one line: sent text cannot start a new log line."""
    return " ".join(str(error).split())[:_MOST_LOGGED]
