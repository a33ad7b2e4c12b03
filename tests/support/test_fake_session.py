"""The fake session has the signatures of a real one."""

import inspect

from tests.support.fake_session import FakeSession
from vif.session import Session


def call_of(function):
    """Names, kinds and order of a function's parameters."""
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind) for parameter in parameters]


def test_the_fake_has_the_signatures_of_a_session():
    for name in ("ask", "token_count"):
        assert call_of(getattr(FakeSession, name)) == call_of(getattr(Session, name)), name
