"""A ZeroGPU Space, with a stand-in for `spaces` that runs decorated functions in a fork."""

import importlib
import multiprocessing
import sys
import threading
import time
import types

import pytest

from tests.support.fake_page import PICTURE
from tests.support.fake_session import FakeSession
from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.ui.guard import Turns


def run_in_a_fork(task, args, kwargs):
    """Like `spaces`: a forked process, everything pickled but the function."""
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


def ask(session, text, **options):
    return session.ask(PICTURE, text, **options)


def climb(session, steps, progress):
    for done in range(steps):
        progress(done + 1, steps)
    return session.name


def test_without_spaces_nothing_is_decorated():
    session = FakeSession()
    module = importlib.import_module("vif.ui.zero")
    assert module.spaces is None
    assert module.on_gpu(session, 60) is session
    assert not vars(session).keys() - vars(FakeSession()).keys()
    assert module.run_model(session, ask, "What?")["plain"].answer
    assert len(session.calls) == 1


def test_a_session_answers_in_the_other_process(zero, stand_in):
    here = FakeSession().ask(PICTURE, "What?")
    session = zero.on_gpu(FakeSession(), 59.6)
    found = zero.run_model(session, ask, "What?", cancel=threading.Event())
    assert stand_in.durations == [60]
    assert len(stand_in.calls) == 1
    # What the call left behind stayed in its process.
    assert session.calls == []
    for name, trace in here.items():
        assert found[name].answer == trace.answer
        assert (found[name].rows == trace.rows).all()


def test_a_mistake_is_the_same_sentence_as_here(zero):
    session = zero.on_gpu(FakeSession(), 60)
    with pytest.raises(InputError, match="Type a question first"):
        zero.run_model(session, ask, " ")


def test_a_call_is_cancelled_from_this_process(zero):
    session = zero.on_gpu(FakeSession(delay=60), 60)
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        zero.run_model(session, ask, "What?", cancel=cancel)
    assert time.monotonic() - started < 50


def test_progress_comes_back_from_the_other_process(zero):
    told = []
    session = zero.on_gpu(FakeSession(), 60)
    name = zero.run_model(session, climb, 7, progress=lambda *now: told.append(now))
    assert name == session.name
    assert told[-1] == (7, 7)
    assert told == sorted(told)


def test_the_model_can_be_had_in_a_fork_that_was_made_while_it_was_in_use(zero):
    session, found = zero.on_gpu(FakeSession(), 60), []
    session.turns = Turns()
    held = threading.Thread(target=lambda: found.append(zero.run_model(session, take_a_turn)))
    session.turns.take()
    with session.turns._changed:
        held.start()
        held.join(60)
    session.turns.give()
    assert found == ["had it"]


def take_a_turn(session):
    session.turns.take()
    session.turns.give()
    return "had it"
