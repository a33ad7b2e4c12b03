"""The model without any intervention."""

from __future__ import annotations

from vif.methods.base import Group, Method, Request, register
from vif.recording import Recorder


@register
class Plain(Method):
    """Records attention and changes nothing."""

    name = "plain"
    label = "Plain"
    group = Group.MODEL
    colour = "#4a66d9"
    summary = "The model without any intervention."

    def tap(self, request: Request) -> Recorder:
        """A tap that only records."""
        return Recorder(request.batch)
