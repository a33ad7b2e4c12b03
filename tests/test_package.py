"""The installed package: declared imports, a version, and a command that works anywhere."""

import ast
import importlib.metadata
import json
import os
import re
import signal
import site
import socket
import subprocess
import sys
import tomllib
import urllib.request
import venv
from pathlib import Path

import pytest

import vif
from vif import bundled

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# What each folder may import besides the standard library and this project.
MAY_IMPORT = {
    "vif": PROJECT["dependencies"] + EXTRAS["data"] + EXTRAS["lmms"],
    "vif/measure": PROJECT["dependencies"] + EXTRAS["app"],
    "vif/charts": PROJECT["dependencies"] + EXTRAS["app"],
    "vif/ui": PROJECT["dependencies"] + EXTRAS["app"],
    "training": PROJECT["dependencies"] + EXTRAS["train"],
}
OURS = {"app", "tests", "training", "vif"}


def listed(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-r "))}


def name_of(requirement):
    return re.split(r"[<>=\[]", requirement)[0].replace("_", "-").lower()


def imports(path):
    """Top-level packages that a file imports on import, and those that its functions import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_a_space_installs_the_dependencies_and_the_app():
    assert listed(ROOT / "requirements.txt") == {*PROJECT["dependencies"], *EXTRAS["app"]}


def test_training_installs_its_extra():
    own = listed(ROOT / "training" / "requirements.txt")
    assert own == set(EXTRAS["train"]) - set(EXTRAS["app"])


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_every_direct_import_is_declared(folder):
    distributions = importlib.metadata.packages_distributions()
    declared = {name_of(requirement) for requirement in MAY_IMPORT[folder]}
    missing = set()
    for path in (ROOT / folder).rglob("*.py"):
        rooms = [room for room in MAY_IMPORT if path.is_relative_to(ROOT / room)]
        if max(rooms, key=len) != folder:
            continue
        for name in set(imports(path)) - OURS - sys.stdlib_module_names:
            known = {found.replace("_", "-").lower() for found in distributions.get(name, [name])}
            if not known & declared:
                missing.add((str(path.relative_to(ROOT)), name))
    # The benchmark's own browser draws one chart; tqdm comes with lmms-eval, spaces with a Space.
    allowed = {("training/reproduce/make_report.py", "playwright"),
               ("vif/lmms_eval/model.py", "tqdm"), ("vif/ui/zero.py", "spaces")}  # fmt: skip
    assert missing <= allowed


def test_the_package_needs_neither_page_nor_charts():
    absent = ("datasets", "gradio", "lmms_eval", "matplotlib", "pandas", "peft", "plotly")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "import vif.__main__\nvif.__main__.build_parser()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_there_is_one_version(capsys):
    from vif.__main__ import main

    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"vif {vif.__version__}\n"
    assert PROJECT["dynamic"] == ["version"]
    assert f"\nversion: {vif.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_bundled_folders_are_those_of_the_repository():
    for name in ("demo-vlm", "demo-vif", "examples"):
        assert bundled.path(name) == ROOT / "assets" / name
    assert bundled.is_model(ROOT / "assets" / "demo-vlm")
    assert not bundled.is_model("llava-hf/llava-1.5-7b-hf")
    with pytest.raises(vif.InputError, match="bundled moon is missing"):
        bundled.path("moon")


def test_a_session_without_a_name_is_the_bundled_one():
    session = vif.load()
    assert session.name == bundled.MODEL
    own = session.adapter.state_dict()
    named = vif.load(bundled.path(bundled.MODEL), bundled.path(bundled.ADAPTER)).adapter
    assert all((own[name] == tensor).all() for name, tensor in named.state_dict().items())


@pytest.mark.slow
def test_a_wheel_answers_in_an_empty_environment_from_any_folder(tmp_path):
    """The environment is empty except for the dependencies, which come from this one."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = tmp_path.glob("vif_lens-*.whl")
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text("\n".join(site.getsitepackages()))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [str(home / "bin" / "vif"), "ask", "--scene", "3", "--json"]
    found = subprocess.run(
        command, cwd=elsewhere, env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert set(json.loads(found.stdout)["answers"]) == {"plain", "vif"}
    code = (
        "import importlib.metadata, vif\n"
        "print(vif.__file__, importlib.metadata.version('vif-lens'), sep='\\n')"
    )
    shown = subprocess.run(
        [str(python), "-c", code], cwd=elsewhere, capture_output=True, text=True, check=True
    ).stdout
    file, version = shown.splitlines()
    assert Path(file).is_relative_to(home)
    assert version == vif.__version__
    assert (Path(file).parent / "py.typed").is_file()
    assert (Path(file).parent / "ui/static/page.css").is_file()
    assert_page_opens(home / "bin" / "vif", elsewhere)


def assert_page_opens(command, folder):
    """The installed command serves the page, with its examples, until it is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    server = subprocess.Popen(
        [str(command), "serve", "--port", str(port)], cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        # Gradio says where it serves as soon as it does.
        said = b""
        while b"Running on local URL" not in said:
            line = server.stdout.readline()
            assert line, said.decode()
            said += line
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/config") as answer:
            page = answer.read().decode()
        examples = json.loads((ROOT / "assets/examples/examples.json").read_text(encoding="utf-8"))
        assert all(example["label"] in page for example in examples)
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait() == 130
        server.stdout.close()
