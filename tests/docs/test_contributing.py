"""The steps of CONTRIBUTING.md work as printed in a copy of the repository."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = ("Add a method", "Add a model family", "Add a probe")
KNOWN = {
    "vif/model/families/__init__.py": r'^    Family\("vipllava".*\n',
    "vif/check/recipes.py": r'^    "vipllava": TinyRecipe\(\n(?: {8}.*\n)*    \),\n',
}


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, flags=re.M | re.S)[1]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


def write(copy, block):
    """Writes a code block to the file in its first line: a new file, or a new table entry."""
    place, code = block.split("\n", 1)
    path, _, table = place.removeprefix("# ").partition(", in ")
    path = copy / path
    if not table:
        assert not path.exists()
        path.write_text(code, encoding="utf-8")
        return path
    text, count = re.subn(
        rf"^({table} = [({{]\n)", lambda m: m[1] + code, path.read_text(encoding="utf-8"),
        flags=re.M,
    )  # fmt: skip
    assert count == 1
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def copy(tmp_path):
    unwanted = shutil.ignore_patterns("__pycache__", "fixtures")
    for name in ("tests", "training", "vif"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    # The family that the guide adds is one that has been added since.
    for path, entry in KNOWN.items():
        text, count = re.subn(entry, "", (tmp_path / path).read_text(encoding="utf-8"), flags=re.M)
        assert count == 1
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def run(words, copy):
    assert words[0] == "python"
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=copy, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_the_guide_is_followed_to_the_letter(title, copy):
    text = section(title)
    written = [str(write(copy, block)) for block in blocks(text, "python")]
    for tool in ("check", "format --check"):
        found = run(["python", "-m", "ruff", *tool.split(), *written], copy)
        assert found.returncode == 0, found.stdout
    lines = [line for block in blocks(text, "bash") for line in block.splitlines()]
    assert lines
    for line in lines:
        found = run(shlex.split(line), copy)
        assert found.returncode == 0, f"{line}\n{found.stdout[-2000:]}{found.stderr[-2000:]}"
        # Without a match pytest would have said so by its status; a skip would not.
        assert "passed" in found.stdout or "pytest" not in line


def test_every_section_is_there():
    assert re.findall(r"^## (Add .*)$", GUIDE, flags=re.M) == list(SECTIONS)
