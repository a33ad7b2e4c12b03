"""The examples of the page: optional, labelled, and recorded."""

import json

import pytest

from tests.support.fake_page import QUESTION, ask, clicked, filled_in, wired
from tests.support.fake_session import FakeSession
from vif.ui import build_demo
from vif.ui.features.form import Filling
from vif.ui.html.strips import example_strip
from vif.ui.state.examples import read_examples
from vif.ui.state.form import Truth
from vif.ui.state.saved import to_zip
from vif.ui.state.view import View


def test_examples_are_optional_and_a_broken_one_is_left_out(tmp_path, picture):
    assert read_examples(tmp_path) == []
    entries = [
        {"image": picture, "question": "What is <b>this</b>?", "note": "Look"},
        {"image": "gone.png", "question": "?", "note": ""},
    ]
    (tmp_path / "examples.json").write_text(json.dumps(entries))
    found = read_examples(tmp_path)
    assert [example.question for example in found] == ["What is <b>this</b>?"]
    assert "<b>this" not in example_strip(found)


def test_examples_say_what_they_show(tmp_path, picture):
    cases = [
        ("red", "blue", 0, "Fixed by VIF"), ("red", "blue", 64, "Lost in text"),
        ("red", "red", 0, "Not needed"), ("blue", "red", 0, "Broken by VIF"),
        ("blue", "blue", 0, "Still wrong"),
    ]  # fmt: skip
    entries = [
        {"image": picture, "question": "?", "truth": "red", "vif": vif, "plain": plain, "text": n}
        for vif, plain, n, _ in cases
    ]
    (tmp_path / "examples.json").write_text(json.dumps(entries))
    assert [example.label for example in read_examples(tmp_path)] == [case[-1] for case in cases]


@pytest.fixture
def recorded(tmp_path, picture):
    """Examples whose answers were recorded."""
    folder = tmp_path / "examples"
    folder.mkdir()
    result = ask(truths=[Truth(QUESTION, "red", ((0.1, 0.1, 0.4, 0.5),))])
    (folder / "a.zip").write_bytes(to_zip(result, View()))
    entry = {
        "image": picture, "question": QUESTION, "note": "Look.", "recorded": "a.zip",
        "truth": "red", "boxes": [[0.1, 0.1, 0.4, 0.5]],
    }  # fmt: skip
    (folder / "examples.json").write_text(json.dumps([entry]))
    return tmp_path


def test_the_first_example_is_answered_as_the_page_loads(recorded):
    session = FakeSession()
    demo = build_demo(session, assets=recorded)
    answers = next(b for b in demo.blocks.values() if getattr(b, "elem_id", "") == "answers")
    assert QUESTION in answers.value
    assert "recorded with fake-vlm" in answers.value
    assert "Look." in answers.value
    assert len(answers.props["data"]["answers"]) == 2
    assert session.calls == []


@pytest.mark.parametrize(
    ("name", "changes", "passes"),
    [
        ("demo-vlm", {}, 0),
        ("demo-vlm", {"alpha": 0.9}, 1),
        ("demo-vlm", {"chosen": ["plain"]}, 1),
        ("other-vlm", {}, 1),
    ],
)
def test_an_example_is_asked_only_where_the_recording_is_of_something_else(
    recorded, name, changes, passes
):
    session = FakeSession()
    session.name = name
    examples = read_examples(recorded / "examples")
    wiring = wired(session, examples)
    assert Filling(wiring).take_example(clicked(0))[wiring.field("question")] == QUESTION
    data = filled_in(wiring, truths=examples[0].truths, **changes)
    *_, done = wiring.run_example({**data, wiring.example: 0})
    assert len(session.calls) == passes
    assert ("recorded with" in done[wiring.answers.answers].value) is not bool(passes)
    assert done[wiring.result].remark == "Look."
