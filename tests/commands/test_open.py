"""A saved zip shown without its model."""

import pytest

from tests.support.fake_page import ask
from vif import bundle
from vif.__main__ import main
from vif.errors import InputError
from vif.ui import build_demo
from vif.ui.replay import Replay
from vif.ui.state.saved import from_bundle, to_zip
from vif.ui.state.view import View


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "answers.zip"
    path.write_bytes(to_zip(ask(), View(layer=6)))
    return path


def test_a_zip_is_reported_in_the_terminal(saved, capsys):
    assert main(["open", str(saved)]) == 0
    shown = capsys.readouterr().out
    found = bundle.read(saved)
    assert found.question in shown
    for name, trace in found.traces.items():
        assert f"{name:<10} {trace.answer}" in shown


def test_a_broken_zip_gives_one_line(tmp_path, capsys):
    (tmp_path / "x.zip").write_bytes(b"PK")
    assert main(["open", str(tmp_path / "x.zip")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_page_shows_it_and_asks_nothing(saved, tmp_path):
    found = bundle.read(saved)
    result, _ = from_bundle(found)
    session = Replay(found)
    demo = build_demo(session, assets=tmp_path, opened=result)
    shown = next(b for b in demo.blocks.values() if getattr(b, "elem_id", "") == "answers")
    assert found.traces["vif"].answer in shown.value
    title = next(b for b in demo.blocks.values() if getattr(b, "elem_id", "") == "title")
    assert "saved answers" in title.value
    assert "Lessons" not in title.value
    with pytest.raises(InputError, match="has no model"):
        session.ask(None, "What?")
