"""Ctrl-C at any time is one line and exit status 130."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vif.__main__ import main
from vif.commands import scenes
from vif.interrupts import EXIT_STATUS, STOPPED, ends_on_ctrl_c

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [["-m", "vif", "models"], ["app.py"]], ids=str)
def test_ctrl_c_while_modules_are_imported_ends_with_one_line(command, tmp_path):
    # Stands in for PyTorch, whose import takes long enough to press Ctrl-C.
    (tmp_path / "torch.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(300)\n"
    )
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (EXIT_STATUS, f"\n{STOPPED}\n")


def test_ctrl_c_while_a_command_runs_ends_with_one_line(monkeypatch, capsys, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(scenes, "export_scenes", interrupt)
    assert main(["scenes", "--out", str(tmp_path)]) == EXIT_STATUS
    assert capsys.readouterr().err == f"\n{STOPPED}\n"


def test_ctrl_c_is_restored_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with ends_on_ctrl_c():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
