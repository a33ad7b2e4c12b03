"""The memory that the page keeps for its visitors is bounded."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import gradio as gr
import pytest
from gradio.state_holder import StateHolder

from tests.support.fake_page import PICTURE
from tests.support.fake_session import FakeSession
from vif.ui import build_demo, launch_options
from vif.ui.guard import memory
from vif.ui.guard.memory import IDLE, MOST_SESSIONS
from vif.ui.state.payload import slice_of


@pytest.fixture
def demo(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    demo = build_demo(FakeSession(), assets=tmp_path / "none")
    demo.state_session_capacity = launch_options()["state_session_capacity"]
    StateHolder().set_blocks(demo)
    PICTURE.save(tmp_path / "picture.png")
    return demo


def call(demo, fn, values, session, event_id=None):
    """Runs a request to its end, as Gradio does."""
    state = demo.state_holder[session]

    async def go_on():
        iterator = None
        while True:
            found = await demo.process_api(
                fn, list(values), state=state, iterator=iterator, session_hash=session,
                event_id=event_id,
            )  # fmt: skip
            iterator = found["iterator"]
            if not found["is_generating"]:
                return found

    # In a thread of its own: after a browser test Playwright keeps an event loop in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, go_on()).result()


def run(demo, folder, session):
    fn = next(fn for fn in demo.fns.values() if fn.name == "run")
    values = [None if isinstance(c, gr.State) else c.value for c in fn.inputs]
    at = {getattr(c, "elem_id", None): i for i, c in enumerate(fn.inputs)}
    values[at["picture"]] = {"path": str(folder / "picture.png")}
    values[at["question"]] = "What?"
    return call(demo, fn, values, session)


def test_of_many_sessions_the_latest_are_kept(demo, tmp_path):
    for number in range(MOST_SESSIONS + 5):
        demo.state_holder[f"{number}"]
    assert len(demo.state_holder.session_data) == MOST_SESSIONS
    assert "0" not in demo.state_holder.session_data


def test_a_session_keeps_its_answers_and_not_what_was_drawn_of_them(demo, tmp_path):
    run(demo, tmp_path, "one")
    state = demo.state_holder["one"]
    assert any(type(value).__name__ == "Result" for value in state.state_data.values())
    blocks, fresh = state.blocks_config.blocks, demo.default_config.blocks
    drawn = [block for block in fresh.values() if isinstance(block, gr.HTML)]
    assert drawn
    assert all(blocks[block._id] is block for block in drawn)
    assert not list(state.config_values)


def test_what_is_shown_can_still_be_asked_for(demo, tmp_path):
    """A slice of the numbers, after the page's copy of the answers is gone."""
    run(demo, tmp_path, "one")
    fn = next(fn for fn in demo.fns.values() if fn.name == "fetch_slice")
    result = demo.state_holder["one"][fn.inputs[0]._id]
    (maps,) = slice_of(result, 0, 0).values()
    assert set(maps) == set(result.traces)


def test_a_call_without_a_session_leaves_none(demo):
    fn = next(fn for fn in demo.fns.values() if fn.api_name == "methods")
    call(demo, fn, [], "event", event_id="event")
    assert "event" not in demo.state_holder.session_data
    call(demo, fn, [], "visitor", event_id="event")
    assert "visitor" in demo.state_holder.session_data


def test_idle_sessions_are_let_go_while_nobody_calls(demo, monkeypatch):
    demo.state_holder["idle"], demo.state_holder["busy"]
    demo.state_holder.time_last_used["idle"] -= IDLE + timedelta(seconds=1)
    demo._queue.pending_event_ids_session["left"] = set()
    monkeypatch.setattr(memory, "_SECONDS_BETWEEN_SWEEPS", 0.01)

    class App:
        def get_blocks(self):
            return demo

    async def serve():
        async with memory.sweeping(App()):
            for _ in range(1000):
                if "idle" not in demo.state_holder.session_data:
                    break
                await asyncio.sleep(0.01)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, serve()).result()
    assert set(demo.state_holder.session_data) == {"busy"}
    assert set(demo.state_holder.time_last_used) == {"busy"}
    assert not demo._queue.pending_event_ids_session


def test_a_session_in_use_is_not_idle(demo):
    demo.state_holder["one"]
    demo.memory.sweep(datetime.now() + IDLE / 2)
    assert "one" in demo.state_holder.session_data
