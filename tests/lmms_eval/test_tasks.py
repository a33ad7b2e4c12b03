"""`vif benchmarks` itself, on lmms-eval's own tasks of all published rows, four pictures each."""

import importlib.util
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.lmms_eval import local_sets
from vif.__main__ import main
from vif.commands.benchmarks import chosen_rows, with_judge
from vif.errors import InputError
from vif.lmms_eval.rows import ROWS
from vif.lmms_eval.table import count_unjudged, figure, read_results

INSTALLED = importlib.util.find_spec("lmms_eval") is not None
needs_lmms_eval = pytest.mark.skipif(
    not INSTALLED, reason="lmms-eval is not installed: pip install lmms-eval"
)
# What the stand-in for a judge thinks of the published answer and of ours.
SCORES = "8 6"


class Judge(BaseHTTPRequestHandler):
    """Answers like OpenAI's API."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": f"{SCORES}\nBoth are short."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "judge"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = json.dumps(answer | {"choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing."""


@pytest.fixture
def judge(monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), Judge)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OPENAI_API_KEY", "of a stand-in")
    monkeypatch.setenv("OPENAI_API_URL", f"http://127.0.0.1:{server.server_port}/v1")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A working directory that holds the data sets, with caches of its own."""
    local_sets.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return tmp_path


def samples(folder, task):
    (path,) = folder.rglob(f"*samples_{task}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_row_has_a_data_set():
    assert list(local_sets.SETS) == [row.name for row in ROWS]


@pytest.mark.slow
@needs_lmms_eval
def test_all_rows_are_run_and_listed_beside_the_published_figures(offline, judge, capfd):
    assert main(["benchmarks", "--tasks", "all", "--methods", "plain", "--out", "found"]) == 0
    shown = capfd.readouterr()
    found = read_results(offline / "found" / "plain")
    figures = {row.name: figure(row, found) for row in ROWS}
    for name, value in figures.items():
        assert value is not None, name
        assert 0 <= value <= (200 if name == "mme" else 100), name
    for name in ("gqa", "realworldqa"):
        task = next(row.task for row in ROWS if row.name == name)
        right = [s["filtered_resps"][0].lower() == s["target"] for s in samples(offline, task)]
        assert figures[name] == pytest.approx(100 * sum(right) / local_sets.NUM_PICTURES)
    assert figures["llavabench"] == 75
    lines = shown.out.splitlines()
    assert any(line.startswith("VQAv2 *") and "79.7" in line for line in lines)
    assert any(line.startswith("* VQAv2: validation") for line in lines)
    assert "1 questions have no image: answered without a method" in shown.err
    assert "1 questions have a video or several images: skipped" in shown.err


@pytest.mark.slow
@needs_lmms_eval
def test_two_processes_give_the_figures_of_one(offline):
    flags = ["benchmarks", "--tasks", "gqa", "mme", "scienceqa", "--methods", "vif"]
    assert main([*flags, "--out", "one"]) == 0
    assert main([*flags, "--out", "two", "--num-processes", "2"]) == 0
    one, two = (read_results(offline / name / "vif") for name in ("one", "two"))
    assert one == two
    for task in ("gqa", "mme", "scienceqa_img"):
        answers = [
            sorted((s["doc_id"], s["filtered_resps"][0]) for s in samples(offline / name, task))
            for name in ("one", "two")
        ]
        assert answers[0] == answers[1]


# A judge


def test_without_a_judge_a_row_is_left_out_and_said(monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("API_TYPE", raising=False)
    rows = chosen_rows(["gqa", "llavabench"])
    assert [row.name for row in with_judge(rows)] == ["gqa"]
    assert "Skipped, because another model judges" in (told := capsys.readouterr().err)
    assert "LLaVA-Bench" in told
    with pytest.raises(InputError, match="OPENAI_API_KEY is not set"):
        with_judge(chosen_rows(["llavabench"]))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert with_judge(rows) == rows


def test_answers_that_the_judge_did_not_score_are_counted(tmp_path):
    (row,) = chosen_rows(["llavabench"])
    assert count_unjudged(tmp_path, row) == 0
    scores = ([8.0, 6.0], [-1, -1])
    lines = [json.dumps({row.metric: {"scores": some}}) for some in scores]
    path = tmp_path / "model" / f"1_samples_{row.task}.jsonl"
    path.parent.mkdir()
    path.write_text("\n".join(lines))
    assert count_unjudged(tmp_path, row) == 1
    os.utime(path, (0, 0))
    path.with_name(f"2_samples_{row.task}.jsonl").write_text(lines[0])
    assert count_unjudged(tmp_path, row) == 0
