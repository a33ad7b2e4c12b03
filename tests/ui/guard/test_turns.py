"""Scheduling of the model under many requests, counted in passes of the model, not in seconds."""

import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import torch
from PIL import Image

from tests.support.tiny import tiny_session
from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.ui import build_demo, launch_options
from vif.ui.actions import ask
from vif.ui.guard import MODEL
from vif.ui.guard.turns import (
    MOST_AT_ONCE,
    MOST_IN_ALL,
    MOST_OF_SESSION,
    REQUEST,
    QueuedRequest,
    Turns,
)

PASS_SECONDS = 0.1


class Clock:
    """A clock that only passes of the model advance."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def turns(clock):
    return Turns(seconds=60, clock=clock)


class Server:
    """Runs requests as the page does, a thread for each, and writes down whose pass came when.

    A pass lasts until everybody else waits again, so that the order does not depend on the machine.
    """

    def __init__(self, turns, clock):
        self.turns, self.clock, self.passes, self.requests = turns, clock, [], set()
        self.begin = threading.Event()

    def answer(self, session, count, address=""):
        request = QueuedRequest(session=session, address=address)
        self.turns.enter(request)
        self.requests.add(request)
        thread = threading.Thread(target=self.work, args=(request, count))
        thread.start()
        return thread

    def work(self, request, count):
        REQUEST.set(request)
        self.begin.wait()
        while not self.turns.admits(request):
            time.sleep(0.001)
        for _ in range(count):
            self.turns.take()
            while not all(map(self.waits, self.requests - {request})):
                time.sleep(0.001)
            self.passes.append(request.session)
            self.clock.now += PASS_SECONDS
            self.turns.give()
        self.turns.leave(request)

    def waits(self, request):
        has_left = request not in self.turns._inside
        return has_left or request in self.turns._waiting or not self.turns.admits(request)

    def run(self, threads):
        self.begin.set()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()

    def end_of(self, session):
        """The number of passes, of all sessions, up to the last one of a session."""
        return len(self.passes) - self.passes[::-1].index(session)


def wait_of_polite(turns, clock, abuser):
    """The longest wait, in passes, of fifteen sessions that ask for two passes each."""
    server = Server(turns, clock)
    threads = [server.answer("abuser", 100) for _ in range(abuser)]
    threads += [server.answer(f"polite {i}", 2) for i in range(15)]
    server.run(threads)
    assert Counter(server.passes)["abuser"] == 100 * abuser
    return max(server.end_of(f"polite {i}") for i in range(15))


def test_fifteen_polite_users_wait_at_most_twice_as_long_beside_an_abuser():
    waits = []
    for abuser in (0, MOST_OF_SESSION):
        clock = Clock()
        waits.append(wait_of_polite(Turns(1e9, clock=clock), clock, abuser))
    alone, beside = waits
    assert alone == 30
    assert beside <= 2 * alone


def test_equal_requests_are_answered_in_order(turns, clock):
    server = Server(turns, clock)
    server.run([server.answer(f"{i}", 1) for i in range(MOST_AT_ONCE)])
    assert server.passes == [f"{i}" for i in range(MOST_AT_ONCE)]


def test_one_address_with_many_sessions_counts_as_one(turns, clock):
    """A new session for every question does not help: the address is counted as well."""
    server = Server(turns, clock)
    threads = [server.answer(f"abuser {i}", 60, "1.1.1.1") for i in range(5)]
    threads += [server.answer("polite", 4, "2.2.2.2")]
    server.run(threads)
    assert server.end_of("polite") <= 4 * 4


def test_at_most_one_thread_runs_the_model(turns):
    inside, most = [], []

    def work():
        for _ in range(50):
            turns.take()
            turns.take()
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            turns.give()
            turns.give()

    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(work) for _ in range(8)]:
            job.result(60)
    assert max(most) == 1
    assert len(most) == 400


def test_a_request_is_stopped_when_its_time_is_over(clock):
    turns = Turns(seconds=1, clock=clock)
    REQUEST.set(QueuedRequest())
    turns.take()
    clock.now += 1.5
    turns.give()
    with pytest.raises(InputError, match=r"than 1 seconds .* was stopped: ask for fewer"):
        turns.take()
    # Other requests go on.
    REQUEST.set(QueuedRequest())
    turns.take()
    turns.give()
    REQUEST.set(None)


def test_a_client_that_has_left_is_cancelled_between_two_passes(turns):
    gone = threading.Event()
    REQUEST.set(QueuedRequest(is_gone=gone.is_set))
    turns.take()
    turns.give()
    gone.set()
    with pytest.raises(Cancelled):
        turns.take()
    REQUEST.set(None)


def test_a_client_that_leaves_while_it_waits_frees_its_place(turns):
    gone = threading.Event()
    leaving = [QueuedRequest(str(i), str(i), is_gone=gone.is_set) for i in range(MOST_AT_ONCE)]
    for request in leaving:
        turns.enter(request)
        assert turns.admits(request)
    last = QueuedRequest(session="last")
    turns.enter(last)
    assert not turns.admits(last)
    assert (turns.place(last), turns.num_waiting) == (0, 1)
    gone.set()
    assert turns.admits(last)
    assert turns.num_waiting == 0


def test_one_address_and_one_session_leave_room_for_others(turns):
    def admitted(session, address, count=MOST_OF_SESSION):
        requests = [QueuedRequest(session, address) for _ in range(count)]
        for request in requests:
            turns.enter(request)
        return sum(turns.admits(request) for request in requests)

    assert admitted("one", "1") == MOST_AT_ONCE // 4
    assert sum(admitted(f"many {i}", "1", 1) for i in range(MOST_AT_ONCE)) == MOST_AT_ONCE // 4
    assert admitted("other", "2") == MOST_AT_ONCE // 4
    assert sum(admitted(f"{i}", f"far {i}", 1) for i in range(MOST_AT_ONCE)) == MOST_AT_ONCE // 4


def test_too_many_questions_are_refused_in_one_sentence(turns):
    for _ in range(MOST_OF_SESSION):
        turns.enter(QueuedRequest(session="one", address="1"))
    with pytest.raises(InputError, match=f"{MOST_OF_SESSION} of your questions are still"):
        turns.enter(QueuedRequest(session="one", address="1"))
    for i in range(MOST_IN_ALL - MOST_OF_SESSION):
        turns.enter(QueuedRequest(session=f"{i}", address=f"{i}"))
    with pytest.raises(InputError, match=f"{MOST_IN_ALL} questions are waiting .* in a minute"):
        turns.enter(QueuedRequest(session="late", address="late"))


def test_used_memory_is_released(turns, clock):
    for i in range(10 * MOST_IN_ALL):
        REQUEST.set(QueuedRequest(session=f"{i}"))
        turns.take()
        clock.now += 100
        turns.give()
    REQUEST.set(None)
    assert len(turns._used) <= 4 * MOST_IN_ALL + 2


# --- a real model behind a real page ----------------------------------------------------------


@pytest.fixture(scope="module")
def session():
    return tiny_session()


@pytest.fixture(scope="module")
def page(session, tmp_path_factory):
    turns = Turns(seconds=1e9)
    demo = build_demo(session, assets=tmp_path_factory.mktemp("none"), turns=turns)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield demo, url.rstrip("/")
    demo.close()


@pytest.fixture(scope="module")
def picture(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.new("RGB", (40, 30), (200, 40, 40)).save(path)
    with path.open("rb") as file:
        sent = httpx.post(f"{page[1]}/gradio_api/upload", files={"files": file}, timeout=120)
        return sent.json()[0]


def body(picture, question, methods=("plain",), tokens=2):
    return {"data": [{"path": picture}, question, "", list(methods), 1, 2, 3, 5, 1, 0.5, tokens, 0,
                     {}, []]}  # fmt: skip


def start(url, picture, question, **more):
    address = f"{url}/gradio_api/call/ask"
    sent = httpx.post(address, json=body(picture, question, **more), timeout=120)
    return f"{address}/{sent.json()['event_id']}"


def finish(address):
    text = httpx.get(address, timeout=120).text
    return text.rpartition("event: ")[2]


def test_many_at_once_get_what_each_would_alone(page, picture):
    _, url = page
    questions = [f"what is this ? {i % 4}" for i in range(12)]
    alone = {q: finish(start(url, picture, q, methods=("plain", "vif"))) for q in set(questions)}
    with ThreadPoolExecutor(len(questions)) as pool:
        asked = list(pool.map(lambda q: finish(start(url, picture, q, methods=("plain", "vif"))),
                              questions))  # fmt: skip

    def untimed(answer):
        return re.sub(r'"seconds": [0-9.e-]+', "", answer)

    assert all(answer.startswith("complete") for answer in asked)
    for question, answer in zip(questions, asked, strict=True):
        assert untimed(answer) == untimed(alone[question])


def test_what_is_not_the_model_needs_no_turn(page, picture, monkeypatch):
    """Decoding, preprocessing and JSON go on while another request holds the model."""
    demo, url = page
    done, holders = [], []

    def told(name):
        real = getattr(ask, name)

        def work(*args):
            done.append(name)
            holders.append(demo.turns._holder == threading.get_ident())
            return real(*args)

        monkeypatch.setattr(ask, name, work)

    told("open_image")
    told("as_json")
    demo.turns.take()
    try:
        address = start(url, picture, "what ?")
        while not demo.turns._waiting:
            time.sleep(0.01)
        assert done == ["open_image"]
    finally:
        demo.turns.give()
    assert finish(address).startswith("complete")
    assert done == ["open_image", "as_json"]
    assert holders == [False, False]


def test_what_runs_the_model_cannot_be_called_past_the_queue(page, picture):
    """For a call outside the queue, Gradio does not report that the client has left."""
    demo, url = page
    run = next(fn for fn in demo.fns.values() if fn.name == "run")
    asked = body(picture, "what ?")
    assert httpx.post(f"{url}/gradio_api/run/ask", json=asked, timeout=120).status_code == 404
    clicked = {"data": [None] * len(run.inputs), "fn_index": run._id, "session_hash": "direct"}
    assert httpx.post(f"{url}/gradio_api/run/predict", json=clicked).status_code == 404
    models = [fn for fn in demo.fns.values() if fn.concurrency_id == MODEL]
    assert models
    assert all(fn.queue is not False for fn in models)


def test_a_client_that_leaves_stops_the_model(page, picture, session):
    demo, url = page
    seen, begun = [], threading.Event()

    def count(*_):
        seen.append(1)
        if len(seen) > 3:
            begun.set()

    handle = session.backbone.model.register_forward_hook(count)
    try:
        address = start(url, picture, "what ?", tokens=512)
        with httpx.stream("GET", address, timeout=60):
            assert begun.wait(60)
        for _ in range(600):
            if not demo.turns._inside:
                break
            threading.Event().wait(0.1)
        assert not demo.turns._inside
        stopped = len(seen)
        torch.manual_seed(0)
        assert finish(start(url, picture, "what ?")).startswith("complete")
        assert stopped < 512
    finally:
        handle.remove()
