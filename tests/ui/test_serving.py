"""Starting the page: flags, the environment, and what keeps it from starting."""

import shutil
import socket

import pytest

import app
from tests.support.fake_session import FakeSession
from vif import bundled
from vif.__main__ import build_parser, main
from vif.ui import serve as serving
from vif.ui.serve import has_model_box


def test_the_command_line_has_defaults_that_stay_on_this_machine(monkeypatch):
    for name in ("HOST", "PORT", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    found = app.parse_arguments([])
    assert (found.host, found.port, has_model_box(found)) == ("127.0.0.1", 7860, True)
    assert not has_model_box(app.parse_arguments(["--no-model-box"]))
    assert found.model_path is None


def test_settings_of_a_space_and_the_environment_are_used(monkeypatch):
    monkeypatch.delenv("HOST", raising=False)
    monkeypatch.setenv("SPACE_ID", "someone/vif-lens")
    monkeypatch.setenv("PORT", "8000")
    found = app.parse_arguments([])
    assert (found.host, found.port, has_model_box(found)) == ("0.0.0.0", 8000, False)


@pytest.mark.parametrize(
    ("flags", "loaded"),
    [
        ([], (None, None)),
        (["--model-path", str(bundled.path(bundled.MODEL))], (None, None)),
        (["--model-path", "other"], ("other", None)),
        (["--model-path", "other", "--adapter", "x"], ("other", "x")),
        (["--adapter", "x"], (None, "x")),
    ],
)
def test_the_bundled_adapter_is_for_the_bundled_model_only(flags, loaded, monkeypatch):
    monkeypatch.setattr(serving, "load_here", lambda name, adapter: (name, adapter))
    assert serving.load_session(app.parse_arguments(flags)) == loaded


def test_the_command_and_the_entry_take_the_same_flags():
    given = ["--port", "8000", "--models", "a/b=c", "--request-seconds", "9"]
    command = vars(build_parser().parse_args(["serve", *given]))
    assert command.items() >= vars(app.parse_arguments(given)).items()


def test_the_command_serves_what_the_entry_serves(monkeypatch):
    seen = []
    monkeypatch.setattr(serving, "serve", seen.append)
    assert main(["serve", "--port", "8000"]) == 0
    assert [args.port for args in seen] == [8000]


def test_whatever_keeps_the_page_from_starting_gives_one_sentence(tmp_path, monkeypatch, capsys):
    def start(*flags):
        status = app.main(["--port", str(free), *flags])
        words = capsys.readouterr().err
        assert (status, words.count("\n")) == (2, 1)
        return words.removeprefix("VIF Lens cannot start. ")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
        why = (
            f"port {free} (Address already in use): choose another address with --host and --port."
        )
        assert start() == f"The page cannot be served at 127.0.0.1, {why}\n"
    assert "neither a folder nor a Hub name" in start("--model-path", str(tmp_path / "nothing"))
    cut = tmp_path / "cut"
    shutil.copytree(bundled.path(bundled.MODEL), cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "damaged or cut off" in start("--model-path", str(cut))
    with monkeypatch.context() as patch:
        patch.setattr(bundled, "MODEL", "nowhere")
        assert "The bundled nowhere is missing" in start()
    monkeypatch.setattr(serving, "load_here", lambda *_, **__: FakeSession())
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", "/dev/null")
        assert "'/dev/null/" in start("--model-path", "x")
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "examples.json").write_text('[{"image":')
    monkeypatch.setattr(serving, "assets", lambda: tmp_path)
    assert "examples.json is damaged" in start("--model-path", "x")


def test_ctrl_c_is_not_an_error_of_the_program(monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "serve", interrupt)
    assert app.main([]) == 130
    assert "Stopped." in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [["--port", "99999999"], ["--port", "x"], ["--request-seconds", "nan"], ["--port", "0"]],
)
def test_an_invalid_flag_is_refused(flags, capsys):
    with pytest.raises(SystemExit) as stopped:
        app.parse_arguments(flags)
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "use " in told
    assert told.count("\n") == 1
