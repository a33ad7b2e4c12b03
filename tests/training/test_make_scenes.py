"""Scenes as training data."""

import json

import numpy as np

from vif.scenes.export import ExportOptions, export_scenes

OPTIONS = ExportOptions(
    questions=8,
    weights={"colour": 0.0},
    text=30,
    least_text=5,
    text_share=0.5,
    openings=("hey,",),
    opening_share=0.4,
    apart=True,
)


def records_of(folder, **changes):
    return json.loads(export_scenes(folder, "train", 12, options=OPTIONS, **changes).read_text())


def test_every_question_is_a_record_of_its_own(tmp_path):
    records = records_of(tmp_path)
    assert len(records) == len({record["id"] for record in records}) > 80
    assert len({record["image"] for record in records}) == 12
    for record in records:
        asked, answered = record["conversations"]
        assert asked["value"].startswith("<image>\n")
        assert answered["from"] == "gpt"
        assert len(record["questions"]) == 1


def test_options_decide_the_questions_and_the_text_before_them(tmp_path):
    records = records_of(tmp_path)
    facts = [record["questions"][0] for record in records]
    assert "colour" not in {fact["family"] for fact in facts}
    texts = [record["conversations"][0]["value"].removeprefix("<image>\n") for record in records]
    opened = 0
    for fact, text in zip(facts, texts, strict=True):
        assert text.startswith(fact["context"])
        opened += text.removeprefix(fact["context"]).strip().startswith("hey,")
    lengths = np.array([len(fact["context"].split()) for fact in facts])
    assert 0.3 < (lengths > 0).mean() < 0.7
    assert lengths.max() > 20
    assert 3 <= lengths[lengths > 0].min() < 10
    assert 0.2 < opened / len(texts) < 0.6


def test_several_processes_write_the_same_files(tmp_path):
    assert records_of(tmp_path / "a") == records_of(tmp_path / "b", workers=2)
    image = "images/train-000003.png"
    assert (tmp_path / "a" / image).read_bytes() == (tmp_path / "b" / image).read_bytes()
