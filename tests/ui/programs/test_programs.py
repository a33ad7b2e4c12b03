"""The programs in docs/programs.md run as printed, against the endpoints alone."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny import tiny_session
from vif.scenes import draw_scene
from vif.ui import launch_options
from vif.ui.page import build_api

DOCS = (Path(__file__).parents[3] / "docs" / "programs.md").read_text(encoding="utf-8")
HAS_MCP = importlib.util.find_spec("mcp") is not None


def block(heading, language):
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)[1]
    return re.search(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(scope="module")
def url():
    demo = build_api(tiny_session())
    _, url, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, mcp_server=HAS_MCP, **launch_options()
    )
    yield url.rstrip("/")
    demo.close()


@pytest.fixture
def run(url, tmp_path):
    """Runs a program in a folder with a picture, and returns its output."""
    draw_scene(0).image.save(tmp_path / "picture.png")

    def started(*command, program):
        program = program.replace("http://127.0.0.1:7860", url)
        done = subprocess.run(
            [*command, program], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return started


def test_the_printed_curl_command_gets_answers(run):
    assert "image_share" in run("bash", "-c", program=block("curl", "bash"))


def test_the_printed_gradio_client_program_gets_answers(run):
    found = run(sys.executable, "-c", program=block("gradio_client", "python"))
    assert "'plain':" in found.splitlines()[-1]


@pytest.mark.skipif(not HAS_MCP, reason="needs the extra mcp")
def test_the_printed_mcp_program_lists_tools_and_gets_answers(run):
    tools, answer = run(sys.executable, "-c", program=block("MCP", "python")).splitlines()[-2:]
    assert tools == "tools: ask attenuation methods"
    assert "'answers': {'plain':" in answer


def test_nothing_but_the_endpoints_is_served():
    demo = build_api(tiny_session())
    assert {fn.api_name for fn in demo.fns.values()} == {"ask", "attenuation", "methods"}
