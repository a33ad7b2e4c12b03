"""`vif ask --data`: a trace per question and method, and a table of answers."""

import json

import pandas as pd
import pytest
from PIL import Image

from tests.support.tiny import tiny_model
from training.pretrain.processor import build_processor
from vif.__main__ import main
from vif.trace import Trace


@pytest.fixture
def files(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    build_processor().save_pretrained(tmp_path / "model")
    Image.new("RGB", (80, 60), "red").save(tmp_path / "a.png")
    lines = [{"image": "a.png", "question": f"Is it {i}?"} for i in range(3)]
    lines.append({"image": "lost.png", "question": "?"})
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def ask(files, *flags):
    model = ["ask", "--model-path", str(files / "model"), "--data", str(files / "x.jsonl")]
    return main([*model, "--methods", "plain", "--max-new-tokens", "2", *flags])


def test_every_question_leaves_a_trace_and_a_line(files, capsys):
    assert ask(files, "--out", str(files / "out")) == 0
    table = pd.read_csv(files / "out" / "answers.csv", keep_default_na=False)
    assert list(table.question) == ["Is it 0?", "Is it 1?", "Is it 2?"]
    for row in table.itertuples():
        trace = Trace.load(files / "out" / row.trace)
        assert trace.answer == row.answer
        assert trace.meta["question"] == row.question
    assert "lost.png" in capsys.readouterr().err


def test_one_question_and_a_file_are_not_asked_together(files, capsys):
    assert ask(files, "--scene", "3") == 2
    assert "remove --image-file, --scene" in capsys.readouterr().err
