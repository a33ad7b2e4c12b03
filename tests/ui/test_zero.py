"""A Space with ZeroGPU, with a stand-in for `spaces` that runs what it decorates in a fork."""

import importlib
import multiprocessing
import sys
import threading
import time
import types

import pytest

from tests.fake_page import PICTURE
from tests.fake_session import FakeSession
from vif.errors import InputError
from vif.model.generation import Cancelled


def run_in_a_fork(task, args, kwargs):
    """As `spaces` does: a forked process, everything pickled but the function."""
    context = multiprocessing.get_context("fork")
    sent, found = context.SimpleQueue(), context.SimpleQueue()
    sent.put((args, kwargs))

    def work():
        inside, more = sent.get()
        found.put(task(*inside, **more))

    process = context.Process(target=work)
    process.start()
    value = found.get()
    process.join()
    return value


@pytest.fixture
def stand_in(monkeypatch):
    """The module, which remembers durations and calls."""
    module = types.ModuleType("spaces")
    module.durations, module.calls = [], []

    def gpu(duration=None):
        def decorate(task):
            module.durations.append(duration)

            def run(*args, **kwargs):
                module.calls.append(task)
                return run_in_a_fork(task, args, kwargs)

            return run

        return decorate

    module.GPU = gpu
    monkeypatch.setitem(sys.modules, "spaces", module)
    return module


@pytest.fixture
def zero(stand_in):
    found = importlib.reload(importlib.import_module("vif.ui.zero"))
    yield found
    sys.modules.pop("spaces", None)
    importlib.reload(found)


def test_without_spaces_nothing_is_decorated():
    session = FakeSession()
    module = importlib.import_module("vif.ui.zero")
    assert module.spaces is None
    assert module.on_gpu(session, 60) is session
    assert "ask" not in vars(session)


def test_a_session_answers_in_the_other_process(zero, stand_in):
    here = FakeSession().ask(PICTURE, "What?")
    session = FakeSession()
    session.ask_batch = session.ask
    there = zero.on_gpu(session, 59.6)
    found = there.ask(PICTURE, "What?", cancel=threading.Event())
    assert stand_in.durations == [60, 60]
    assert len(stand_in.calls) == 1
    # What the call left behind stayed there.
    assert session.calls == []
    for name, trace in here.items():
        assert found[name].answer == trace.answer
        assert (found[name].rows == trace.rows).all()


def test_a_mistake_is_the_same_sentence_as_here(zero):
    session = FakeSession()
    ask = zero.gpu(session.ask, 60)
    with pytest.raises(InputError, match="Type a question first"):
        ask(PICTURE, " ")


def test_a_call_is_cancelled_from_this_process(zero):
    ask = zero.gpu(FakeSession(delay=60).ask, 60)
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        ask(PICTURE, "What?", cancel=cancel)
    assert time.monotonic() - started < 50
