"""Uploads to a local stand-in of the Hub."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import HfApi, constants

from tests.support.hub_stand_in import TOKEN, hub_on_this_machine
from tests.support.tiny import tiny_adapter
from vif.__main__ import main
from vif.adapter import VIFAdapter
from vif.commands import push
from vif.errors import InputError
from vif.hub import card, upload
from vif.hub.cards import figures
from vif.model.checkpoints.catalogue import GPU_MODEL

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stand_in():
    with hub_on_this_machine() as (hub, url):
        yield hub, url


@pytest.fixture
def hub(stand_in, monkeypatch):
    """An empty Hub that every client of this process talks to."""
    found, url = stand_in
    found.__init__()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("vif.hub.repository.HfApi", lambda: HfApi(endpoint=url, token=TOKEN))
    return found


def front_matter(files):
    _, head, text = files["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(head), text


def test_an_adapter_comes_back_as_it_was_pushed(hub, tmp_path, capsys):
    adapter = tiny_adapter()
    adapter.save_pretrained(tmp_path, dtype=None)
    flags = ["--folder", str(tmp_path), "--base-model", "me/base"]
    assert main(["push", "adapter", "me/steer", *flags]) == 0
    assert capsys.readouterr().out.strip().endswith("/me/steer")
    files = hub.files["model", "me/steer"]
    assert set(files) == {"config.json", "model.safetensors", "README.md"}
    head, text = front_matter(files)
    assert (head["base_model"], head["library_name"]) == ("me/base", "vif-lens")
    assert adapter.fingerprint in text
    assert "## Figures" not in text
    again = tmp_path / "again"
    again.mkdir()
    for name, data in files.items():
        (again / name).write_bytes(data)
    assert VIFAdapter.from_pretrained(again).config == adapter.config


def test_the_bundled_adapter_is_pushed_with_its_figures(hub):
    assert main(["push", "adapter", "me/demo-vif"]) == 0
    head, text = front_matter(hub.files["model", "me/demo-vif"])
    found = figures(ROOT / "assets" / "results")
    assert head["base_model"] == "demo-vlm"
    assert f"{found['vif']['accuracy']:.1f}" in text
    assert f"{found['vif']['fixed']} / {found['vif']['broken']}" in text


def test_the_model_is_pushed_whole(hub):
    assert main(["push", "model", "me/demo-vlm", "--private"]) == 0
    files = hub.files["model", "me/demo-vlm"]
    source = ROOT / "assets" / "demo-vlm"
    for path in source.iterdir():
        assert files[path.name] == path.read_bytes()
    assert hub.made["model", "me/demo-vlm"]["visibility"] == "private"
    head, _ = front_matter(files)
    assert head["pipeline_tag"] == "image-text-to-text"


def test_scenes_are_pushed_as_a_data_set(hub):
    assert main(["push", "dataset", "me/scenes", "--n", "2", "--split", "validation"]) == 0
    files = hub.files["dataset", "me/scenes"]
    assert len([name for name in files if name.startswith("images/")]) == 2
    records = json.loads(files["validation.json"])
    assert {f"images/{Path(r['image']).name}" for r in records} <= set(files)
    head, text = front_matter(files)
    assert head["size_categories"] == ["n<1K"]
    assert "vif scenes --split validation --n 2 --seed 0`" in text


def test_a_space_gets_what_it_needs_to_start_and_nothing_else(hub, tmp_path):
    for name in ("app.py", "README.md", "requirements.txt", "vif/a.py", "vif/__pycache__/a.pyc",
                 "assets/demo-vlm/x.bin", "assets/results/logs/a.jsonl", "tests/t.py", ".venv/x",
                 "runs/big.bin", "docs/page.md", "docs/images/first-screen.png"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\1" if name.endswith("bin") else b"text")
    assert main(["push", "space", "me/lens", "--folder", str(tmp_path)]) == 0
    assert hub.made["space", "me/lens"]["sdk"] == "gradio"
    files = hub.files["space", "me/lens"]
    assert set(files) == {"app.py", "README.md", "requirements.txt", "vif/a.py",
                          "assets/demo-vlm/x.bin", "docs/images/first-screen.png"}  # fmt: skip
    assert files["assets/demo-vlm/x.bin"] == b"\0\1"


@pytest.mark.parametrize("hardware", [push.CPU, push.ZERO])
def test_torch_comes_without_cuda_where_there_is_no_gpu(tmp_path, hardware):
    for name in ("requirements.txt", "README.md"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    push.prepare_for(hardware, tmp_path, "me/lens")
    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    assert lines[0].endswith("whl/cpu") == (hardware == push.CPU)
    head, _ = front_matter({"README.md": (tmp_path / "README.md").read_bytes()})
    assert head["suggested_hardware"] == hardware
    picture = head["thumbnail"].removeprefix("https://huggingface.co/spaces/me/lens/resolve/main/")
    assert (ROOT / picture).is_file()
    # A CPU begins with the bundled model and need not wait for another.
    preloaded = head.get("preload_from_hub", [])
    assert preloaded == ([GPU_MODEL] if hardware == push.ZERO else [])
    assert set(preloaded) <= set(head["models"])


def test_a_space_is_pushed_from_a_checkout(hub, tmp_path, capsys):
    assert main(["push", "space", "me/lens", "--folder", str(tmp_path)]) == 2
    assert "contains no app.py" in capsys.readouterr().err
    assert not hub.made


@pytest.mark.parametrize(
    ("status", "words"), [(401, "hf auth login"), (403, "hf auth login"), (400, "status 400")]
)
def test_a_refusal_gives_one_sentence(hub, tmp_path, status, words):
    hub.refuses = status
    (tmp_path / "a").write_text("a")
    with pytest.raises(InputError, match=words):
        upload(tmp_path, "me/x")


def test_an_unknown_name_is_refused(hub, tmp_path):
    with pytest.raises(InputError, match="not the name of a repository"):
        upload(tmp_path, "a/b/c")


def test_no_hub_and_no_login_give_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")
    gone = HfApi(endpoint="http://127.0.0.1:9", token=TOKEN)
    with pytest.raises(InputError, match="cannot be reached"):
        upload(tmp_path, "me/x", api=gone)
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)
    with pytest.raises(InputError, match="hf auth login"):
        upload(tmp_path, "me/x", api=HfApi(endpoint="http://127.0.0.1:9", token=True))


def test_every_card_is_plain_text_whatever_a_name_holds():
    told = card("dataset", name="<b>", split="test", scenes=20_000, seed=1, text=64)
    assert "# <b>" in told
    assert "10K<n<100K" in told
    assert "--text 64" in told


def test_a_tensor_has_as_many_parameters_as_the_product_of_its_sides():
    assert push._product([2, 3, 4]) == int(np.prod([2, 3, 4]))
