"""A method that records only the first and the latest token, for long answers."""

from __future__ import annotations

from typing_extensions import override

from vif.methods import Method, Request
from vif.recording import Recorder


class UnrecordedMethod(Method):
    """A method that records only the first and the latest token, for long answers.

    The attention of every token of a thousand would take gigabytes on a model of 7 B; what was
    recorded of the first and of the latest token is all that is kept.
    """

    def __init__(self, method: Method) -> None:
        self.inner = method
        self.name, self.summary, self.options = method.name, method.summary, method.options

    @override
    def tap(self, request: Request) -> Recorder:
        """The method's own tap, with a shorter memory."""
        tap = self.inner.tap(request)
        begin = tap.begin

        def forget(start: int, length: int) -> None:
            begin(start, length)
            del tap.rows[1:-1], tap.mass[1:-1]

        tap.begin = forget
        return tap
