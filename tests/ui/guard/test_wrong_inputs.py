"""Every request to `/ask` gets an answer or one sentence, and one line in the log."""

import asyncio
import logging
import math
import sys
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest
from gradio.state_holder import SessionState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.fake_session import FakeSession
from vif.ui import build_demo
from vif.ui.guard.files import NOT_UPLOADED
from vif.ui.guard.page import FAILED

NAMES = ("image", "question", "context", "methods", "learning_start", "learning_end",
         "injection_start", "injection_end", "stride", "alpha", "max_new_tokens", "seed",
         "options", "look")  # fmt: skip
NUMBERS = NAMES[4:12]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uploads")
    Image.new("RGB", (40, 30)).save(folder / "picture.png")
    (folder / "broken.png").write_bytes(b"\x89PNG broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def ask(cache, tmp_path_factory):
    """Calls the endpoint as a request does; returns its answer or its one sentence."""
    demo = build_demo(FakeSession(), assets=tmp_path_factory.mktemp("none"))
    fn = next(fn for fn in demo.fns.values() if fn.api_name == "ask")
    state = SessionState(demo)
    good = {"image": {"path": str(cache / "picture.png")}, "question": "What?", "context": "",
            "methods": ["plain"], "learning_start": 3, "learning_end": 4, "injection_start": 5,
            "injection_end": 7, "stride": 1, "alpha": 0.5, "max_new_tokens": 8, "seed": 0,
            "options": {}, "look": []}  # fmt: skip

    def call(values=None, **changes):
        values = [{**good, **changes}[name] for name in NAMES] if values is None else values
        # In a thread of its own: after a browser test Playwright keeps an event loop in this one.
        with ThreadPoolExecutor(1) as pool:
            asked = demo.process_api(fn, values, state=state)
            try:
                return pool.submit(asyncio.run, asked).result()["data"][0]
            except gr.Error as error:
                return "" if error.print_exception else error.message

    return call


def is_sentence(found):
    return (
        isinstance(found, str) and 20 < len(found) < 500 and found.endswith(".") and found != FAILED
    )


WRONG = [
    *((name, value) for name in NUMBERS for value in ("3", None, [], {}, True, math.nan, math.inf)),
    *((name, 1e30) for name in NUMBERS),
    *((name, 1.5) for name in NUMBERS),
    *(("methods", value) for value in ("plain", 5, None, [], [5], [None], [["plain"]], {"a": 1})),
    *(("methods", value) for value in (["p"], ["m" * 5000], ["plain"] * 5)),
    *(("options", value) for value in ([], "x", 5, {"pai": 5}, {"pai": {"alpha": "x"}})),
    *(("options", value) for value in ({"none": {"x": 1}}, {"plain": {"x": 1}}, {"x" * 5000: {}})),
    *(("look", value) for value in ("x", 5, [5], [[1]], [[0, 0, 9, 9]], [[0, 0, 1, 1]] * 100_000)),
    *(("image", value) for value in ("x.png", 5, [], {}, {"path": 5}, None, True)),
    *(("image", {"url": value}) for value in ("data:image/png;base64,broken", "http://x/y.png")),
    *(("question", value) for value in (5, None, "", " ", [], {}, "q" * 5000, "\x00")),
    *(("context", value) for value in (5, [], {}, "c" * 9000)),
    ("max_new_tokens", 513),
    ("max_new_tokens", 4096),
]


def test_every_wrong_input_gets_its_sentence(ask, caplog):
    """Prints the table of wrong inputs: ``pytest -s`` shows it."""
    for name, value in WRONG:
        caplog.clear()
        found = ask(**{name: value})
        sys.stdout.write(f"{name:<16} {repr(value)[:40]:<42} {found}\n")
        assert is_sentence(found), (name, value, found)
        assert len(caplog.records) == 1, (name, value)
        assert "\n" not in caplog.text.strip()
        assert not caplog.records[0].exc_info


@pytest.mark.parametrize(("side", "is_read"), [(9_900, True), (10_001, False)])
def test_a_picture_of_a_hundred_megapixels_is_drafted_or_refused(ask, cache, side, is_read):
    """The decoder skips detail as it reads: the pixels are never all in memory."""
    path = cache / f"{side}.jpg"
    Image.new("L", (side, side)).save(path, quality=30)
    found = ask(image={"path": str(path)})
    shown = "answered" if is_read else found
    sys.stdout.write(f"{'image':<16} {f'{side} x {side} pixels':<42} {shown}\n")
    assert not isinstance(found, str) if is_read else is_sentence(found)


def test_too_few_values_are_named_with_the_expected_ones(ask):
    assert ask(values=[]).startswith("The request has 0 values, expected 14: image, question")
    assert ask(values=[None] * 3).startswith("The request has 3 values, expected 14")


def test_a_broken_picture_is_told_apart_from_a_stranger_s(ask, cache):
    assert "broken.png' " in ask(image={"path": str(cache / "broken.png")})
    assert ask(image={"path": "/etc/passwd"}) == NOT_UPLOADED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NEAR = {
    "methods": st.lists(st.sampled_from(["plain", "vif", "pai", "x"]), max_size=5),
    "options": st.dictionaries(st.sampled_from(["pai", "vif"]), JSON, max_size=2),
    "look": st.lists(st.lists(st.floats(-1, 2), min_size=3, max_size=5), max_size=3),
    "question": st.text(max_size=50),
    **{name: st.integers(-2, 10) | st.floats(-1, 10) for name in NUMBERS},
}


@settings(max_examples=500, deadline=None, derandomize=True, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(changes=st.fixed_dictionaries({}, optional={n: JSON | NEAR.get(n, JSON) for n in NAMES}))
def test_no_payload_ends_in_a_trace_or_in_silence(ask, caplog, changes):
    caplog.clear()
    caplog.set_level(logging.INFO)
    found = ask(**changes)
    was_answered = not isinstance(found, str)
    assert was_answered or is_sentence(found), (changes, found)
    logged = [r for r in caplog.records if r.name.startswith("vif")]
    assert len(logged) == (not was_answered)
    assert not any(record.exc_info for record in logged)
