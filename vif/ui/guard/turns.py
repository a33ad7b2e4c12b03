"""Scheduling of the model: one forward pass at a time, least use goes first.

Independent of Gradio.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch

from vif.errors import InputError
from vif.inputs.schema import REQUEST_SECONDS
from vif.model.generation import Cancelled

# Answers in progress at once; each keeps its cache in memory. One address has at most half of them
# and one browser session a quarter, so that nobody who comes later has to wait for a long answer.
MOST_AT_ONCE = 8
# Unfinished requests of one browser session, of one address, and of all.
MOST_OF_SESSION, MOST_OF_ADDRESS, MOST_IN_ALL = 4, 24, 64

# Use within one step of the ladder counts as equal, and the earliest request goes first. Each step
# is twice as long as the one before it. Past use halves with every half-life.
_STEP_SECONDS = 1.0
_HALF_LIFE_SECONDS = 30.0
# How often a waiting request checks that its client is still connected.
_SECONDS_BETWEEN_LOOKS = 0.5


def _stay() -> bool:
    return False


@dataclass(eq=False)
class QueuedRequest:
    """One request that may run the model.

    Attributes:
        session: Whose browser session; requests without one share "".
        address: From which network address.
        is_gone: Tells whether its client has left.
        number: In the order of arrival.
        used: Seconds that the model worked for it.
    """

    session: str = ""
    address: str = ""
    is_gone: Callable[[], bool] = _stay
    number: int = field(default_factory=itertools.count().__next__)
    used: float = 0.0


# The request that a function runs for. Threads that it starts need a copy of the context.
REQUEST: ContextVar[QueuedRequest | None] = ContextVar("request", default=None)


class Turns:
    """Shares the model among requests.

    A request is first admitted, so that only a few answers are in progress, and then waits before
    every forward pass. In both places, requests are ordered by the recent use of their address,
    then of their session (their steps on the ladder), then by arrival. Short questions are thus
    answered in order of arrival, and long ones give way between two tokens. A request whose
    address or session already has its share of the answers in progress is admitted when one of
    them ends.

    Attributes:
        seconds: How long the model may work for one request.
        most: How many answers may be in progress at once.
    """

    def __init__(
        self,
        seconds: float = REQUEST_SECONDS,
        most: int = MOST_AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds, self.most = seconds, most
        self._clock = clock
        self._changed = threading.Condition()
        self._used: dict[str, tuple[float, float]] = {}
        self._inside: list[QueuedRequest] = []
        self._admitted: set[QueuedRequest] = set()
        self._waiting: list[QueuedRequest] = []
        self._holder: int | None = None
        self._depth = 0
        self._current: tuple[QueuedRequest, float] | None = None
        # A lock that another thread holds while this process is forked stays locked in the fork.
        mine = weakref.ref(self)
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=lambda: _unlock(mine()))

    # -- requests -------------------------------------------------------------------------------

    def enter(self, request: QueuedRequest) -> None:
        """Lets a request wait to be admitted.

        Raises:
            InputError: If too many wait already.
        """
        with self._changed:
            self._drop_gone()
            own = sum(other.session == request.session for other in self._inside)
            near = sum(other.address == request.address for other in self._inside)
            if own >= MOST_OF_SESSION:
                raise InputError(
                    f"{own} of your questions are still unanswered: wait for one of them, then "
                    "ask again."
                )
            if len(self._inside) >= MOST_IN_ALL or near >= MOST_OF_ADDRESS:
                raise InputError(
                    f"{len(self._inside)} questions are waiting for the model: ask again in "
                    "a minute."
                )
            self._inside.append(request)

    def admits(self, request: QueuedRequest) -> bool:
        """Whether the request is admitted; once it is, it stays so."""
        with self._changed:
            self._drop_gone()
            if len(self._admitted) < self.most:
                ready = [other for other in self._outside() if self._has_room(other)]
                if ready and min(ready, key=self._rank) is request:
                    self._admitted.add(request)
            return request in self._admitted

    def place(self, request: QueuedRequest) -> int:
        """How many others come before a request that is not admitted."""
        with self._changed:
            return self._place(request)

    @property
    def num_waiting(self) -> int:
        """How many requests are not admitted yet."""
        return len(self._inside) - len(self._admitted)

    def leave(self, request: QueuedRequest) -> None:
        """Ends a request and wakes those who wait."""
        with self._changed:
            self._admitted.discard(request)
            if request in self._inside:
                self._inside.remove(request)
            self._changed.notify_all()

    def _place(self, request: QueuedRequest) -> int:
        return sum(self._rank(other) < self._rank(request) for other in self._outside())

    def _outside(self) -> list[QueuedRequest]:
        """The requests that are not admitted yet."""
        return [other for other in self._inside if other not in self._admitted]

    def _has_room(self, request: QueuedRequest) -> bool:
        """Whether its address and its session are below their limits of answers in progress."""
        near = sum(other.address == request.address for other in self._admitted)
        own = sum(other.session == request.session for other in self._admitted)
        return near < max(1, self.most // 2) and own < max(1, self.most // 4)

    def _drop_gone(self) -> None:
        for other in [other for other in self._inside if other.is_gone()]:
            self._inside.remove(other)
            self._admitted.discard(other)

    # -- passes ---------------------------------------------------------------------------------

    def share(self, session: Any) -> Any:
        """Makes every forward pass of a session's model wait for its turn; returns the session."""
        model = getattr(getattr(session, "backbone", None), "model", None)
        if model is not None:
            # Images are encoded by a part of the model, outside of its own forward pass.
            for part in dict.fromkeys([model, *model.base_model.children()]):
                part.register_forward_pre_hook(lambda *_: self.take())
                part.register_forward_hook(lambda *_: self.give(), always_call=True)
        return session

    def take(self) -> None:
        """Waits until the calling thread may run the model; the thread that holds it may re-enter.

        Raises:
            Cancelled: If the request's client has left.
            InputError: If the request has used its time.
        """
        me = threading.get_ident()
        if self._holder == me:
            self._depth += 1
            return
        request = REQUEST.get() or QueuedRequest()
        with self._changed:
            self._waiting.append(request)
            try:
                self._check(request)
                while self._holder is not None or min(self._waiting, key=self._rank) is not request:
                    self._changed.wait(_SECONDS_BETWEEN_LOOKS)
                    self._check(request)
            except BaseException:
                self._changed.notify_all()
                raise
            finally:
                self._waiting.remove(request)
            self._holder, self._depth = me, 1
            self._current = (request, self._clock())

    def give(self) -> None:
        """Hands the model to the next request; does nothing for a thread that does not hold it."""
        if self._holder != threading.get_ident():
            return
        self._depth -= 1
        if self._depth:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        with self._changed:
            assert self._current is not None  # the holder has a request
            request, started = self._current
            seconds = self._clock() - started
            request.used += seconds
            for name in {f"address {request.address}", f"session {request.session}"}:
                self._used[name] = (self._used_by(name) + seconds, self._clock())
            self._forget()
            self._holder = self._current = None
            self._changed.notify_all()

    def _check(self, request: QueuedRequest) -> None:
        if request.is_gone():
            raise Cancelled
        if request.used > self.seconds:
            raise InputError(
                f"This request used more than {self.seconds:g} seconds of model time and was "
                "stopped: ask for fewer methods or a shorter answer."
            )

    # -- the ladder -----------------------------------------------------------------------------

    def _rank(self, request: QueuedRequest) -> tuple[int, int, int]:
        """The rank of a request; the lowest runs first."""
        address, session = f"address {request.address}", f"session {request.session}"
        return self._step(address), self._step(session), request.number

    def _step(self, name: str) -> int:
        return int(math.log2(1 + self._used_by(name) / _STEP_SECONDS))

    def _used_by(self, name: str) -> float:
        """Seconds of the model that a visitor used lately."""
        seconds, at = self._used.get(name, (0.0, 0.0))
        return seconds * 0.5 ** ((self._clock() - at) / _HALF_LIFE_SECONDS)

    def _forget(self) -> None:
        """Drops entries that no longer change the order."""
        if len(self._used) > 4 * MOST_IN_ALL:
            self._used = {name: found for name, found in self._used.items() if self._step(name)}


def _unlock(turns: Turns | None) -> None:
    """Resets the lock in a forked process, which has none of the threads that ran or waited."""
    if turns is not None:
        turns._changed = threading.Condition()
        turns._waiting, turns._holder, turns._depth, turns._current = [], None, 0, None
