"""The start of a Space: its environment, its model, its front matter."""

import contextlib
from pathlib import Path

import pytest
import yaml

import app
from tests.support.fake_session import FakeSession
from vif.errors import InputError
from vif.ui import build_demo
from vif.ui.state.shelf import Shelf

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_space(monkeypatch):
    for name in ("SPACE_ID", "VIF_MODEL", "VIF_ADAPTER", "VIF_MODELS"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_names_another_model(monkeypatch):
    monkeypatch.setenv("VIF_MODEL", "org/model")
    monkeypatch.setenv("VIF_ADAPTER", "org/adapter")
    monkeypatch.setenv("VIF_MODELS", "org/a, org/b=org/steer,,")
    found = app.parse_arguments([])
    assert (found.model_path, found.adapter) == ("org/model", "org/adapter")
    assert found.models == [("org/a", ""), ("org/b", "org/steer")]
    monkeypatch.setenv("VIF_ADAPTER", "")
    assert app.parse_arguments([]).adapter is None
    assert app.parse_arguments(["--model-path", "org/c"]).model_path == "org/c"


@pytest.mark.parametrize(
    ("space", "gpu", "is_real"), [("", True, False), ("me/x", False, False), ("me/x", True, True)]
)
def test_a_space_with_a_gpu_shows_a_real_model(monkeypatch, space, gpu, is_real):
    monkeypatch.setenv("SPACE_ID", space)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    found = app.parse_arguments([])
    assert (found.model_path == app.GPU_MODEL) == is_real
    # The other of the two is in the menu.
    menu = [("demo-vlm", "")] if is_real else [(app.CPU_MODEL, "")]
    assert found.models == (menu if space else [])
    assert found.adapter is None


def test_visitors_load_what_is_allowed_and_nothing_else(tmp_path):
    loaded = []

    def load(name, adapter=None, progress=None):
        loaded.append((name, adapter))
        return FakeSession()

    shelf = Shelf(FakeSession(), load=load, size=lambda _: 0, allowed=[("a/b", ""), ("c/d", "e/f")])
    assert shelf.begin(" c/d ", "").result() == ("c/d", "e/f")
    assert loaded == [("c/d", "e/f")]
    for name, adapter in (("x/y", ""), (str(tmp_path), ""), ("a/b", "e/f"), ("", ""), (None, None)):
        with pytest.raises(InputError, match=r"choose a/b, c/d"):
            shelf.begin(name, adapter)
    with pytest.raises(InputError, match="not one of the models"):
        shelf.look_up(str(tmp_path))


def test_the_box_is_there_where_models_are_allowed(tmp_path):
    def has_box(**options):
        demo = build_demo(FakeSession(), assets=tmp_path, **options)
        return any(getattr(b, "elem_id", "") == "model-box" for b in demo.blocks.values())

    assert not has_box()
    assert has_box(models=[("a/b", "")])


def test_the_front_matter_says_what_a_space_needs():
    _, head, _ = (ROOT / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(head)
    assert told["python_version"] == "3.12"
    assert told["app_file"] == "app.py"
    pin = next(x for x in (ROOT / "requirements.txt").read_text().split() if "gradio" in x)
    version = tuple(map(int, told["sdk_version"].split(".")))
    low, high = (tuple(map(int, part.strip("gradio><=").split("."))) for part in pin.split(","))
    assert low <= version < high
    assert told["suggested_hardware"] == "cpu-basic"
    assert "vision-language-model" in told["tags"]
    assert len(told["short_description"]) <= 60
    with contextlib.suppress(KeyError):
        assert all("/" in name for name in told["models"])
