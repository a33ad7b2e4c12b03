"""Fifteen polite users and one abuser on a real server, counted in passes of the model.

A pass lasts until everybody who may wait for the next one does, so that the order is that of
`Turns` and does not depend on the machine.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest
import torch
from PIL import Image

from tests.support.fake_session import FakeSession
from vif.ui import build_demo, launch_options
from vif.ui.guard.turns import MOST_OF_ADDRESS, REQUEST, Turns

POLITE, PASSES, MOST_PASSES, PASS_SECONDS = 15, 2, 512, 0.1
ABUSER = "10.0.1.1"


class Clock:
    """A clock that only passes of the model advance."""

    now = 0.0

    def __call__(self):
        return self.now


class Model(torch.nn.Module):
    """Records the address that requested each pass; computes nothing."""

    def __init__(self, turns, clock, expected):
        super().__init__()
        self.turns, self.clock, self.expected = turns, clock, expected
        self.come, self.passes = set(), []

    @property
    def base_model(self):
        return self

    def forward(self, x):
        mine = REQUEST.get()
        while not self.others_wait(mine):
            time.sleep(0.01)
        self.passes.append(mine.address)
        self.clock.now += PASS_SECONDS
        return x

    def others_wait(self, mine):
        """Whether all requests have arrived, and all admitted ones wait for the model."""
        inside = set(self.turns._inside)
        self.come |= {request.address for request in inside}
        if len(self.come) < self.expected:
            return False
        waiting = set(self.turns._waiting)
        return all(r in waiting or not self.turns.admits(r) for r in inside - {mine})


class Session(FakeSession):
    """Runs the model once for every requested token."""

    def __init__(self, model):
        super().__init__()
        self.backbone = SimpleNamespace(name="fake-vlm", model=model)

    def ask(self, *args, max_new_tokens, **more):
        for _ in range(max_new_tokens):
            self.backbone.model(torch.zeros(1))
        return super().ask(*args, **more)


class Visitor:
    """A client with its own address, behind a proxy that the server trusts."""

    def __init__(self, url, address):
        self.client = httpx.Client(timeout=300, headers={"X-Forwarded-For": address})
        self.ask_url = f"{url}/gradio_api/call/ask"
        self.upload_url = f"{url}/gradio_api/upload"

    def upload(self, path):
        with path.open("rb") as file:
            return self.client.post(self.upload_url, files={"files": file}).json()[0]

    def ask(self, picture, tokens):
        data = [{"path": picture}, "What?", "", ["plain"], 3, 4, 5, 7, 1, 0.5, tokens, 0, {}, []]
        event = self.client.post(self.ask_url, json={"data": data}).json()["event_id"]
        return self.client.get(f"{self.ask_url}/{event}").text


def waits(folder, abuses):
    """After how many passes of all the last one of each polite user came, and the abuser's passes.

    Args:
        folder: Gets the picture.
        abuses: How many long answers the abuser asks for at once, each in a session of its own.
    """
    clock = Clock()
    turns = Turns(seconds=1e9, clock=clock)
    model = Model(turns, clock, POLITE + bool(abuses))
    demo = build_demo(Session(model), assets=folder, turns=turns)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    addresses = [f"10.0.0.{i}" for i in range(POLITE)]
    try:
        abuser, *polite = (Visitor(url.rstrip("/"), a) for a in (ABUSER, *addresses))
        Image.new("RGB", (8, 8)).save(folder / "picture.png")
        picture = abuser.upload(folder / "picture.png")
        with ThreadPoolExecutor(POLITE + abuses) as pool:
            for _ in range(abuses):
                pool.submit(abuser.ask, picture, MOST_PASSES)
            answers = [pool.submit(visitor.ask, picture, PASSES) for visitor in polite]
            assert all("event: complete" in answer.result(300) for answer in answers)
            passes = list(model.passes)
            turns.seconds = 0
    finally:
        demo.close()
    ends = [len(passes) - passes[::-1].index(address) for address in addresses]
    return ends, passes.count(ABUSER)


@pytest.mark.slow
def test_nobody_polite_waits_more_than_twice_as_long_beside_an_abuser(tmp_path):
    alone, _ = waits(tmp_path, abuses=0)
    beside, taken = waits(tmp_path, abuses=MOST_OF_ADDRESS)
    assert max(alone) == POLITE * PASSES
    assert taken > 0
    assert max(beside) <= 2 * max(alone)
