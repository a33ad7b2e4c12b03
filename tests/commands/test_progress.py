"""The progress of a command, at a terminal and in a log."""

import sys

import pytest

from vif.commands.flags.common import progress_of


def test_a_terminal_gets_one_line_that_is_rewritten(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    show = progress_of("questions")
    show(1, 40, 600.0)
    show(40, 40)
    first, last = capsys.readouterr().err.split("\r")
    assert first.rstrip() == "1/40 questions, 10 min left"
    assert last.rstrip() == "40/40 questions"
    assert len(first) == len(last.rstrip("\n"))


@pytest.mark.parametrize(("total", "step"), [(400, 1), (400, 40), (7, 1), (1, 1)])
def test_a_log_gets_at_most_ten_whole_lines_and_the_last(capsys, total, step):
    show = progress_of("questions")
    for done in range(step, total + 1, step):
        show(done, total)
    lines = capsys.readouterr().err.splitlines(keepends=True)
    assert len(lines) <= 10
    assert lines[-1] == f"{total}/{total} questions\n"
    assert not any("\r" in line for line in lines)
