"""LLaVA-format data: what is read, skipped or refused."""

import json
import pickle

import pytest
from PIL import Image

from tests.support.tiny import tiny_model
from training.data.batches import Collator
from training.data.encoding import Conversations, Encoder
from training.data.records import RecordIndex, SkippedRecords
from training.pretrain.processor import build_processor
from vif.errors import InputError
from vif.model.backbone import Backbone

ASKED = [{"from": "human", "value": "<image>\nWhat is it? é"}, {"from": "gpt", "value": "a ball"}]


def record(**changes):
    return {"id": "a", "image": "a.png", "conversations": ASKED} | changes


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (20, 20), "red").save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"no image at all")
    return tmp_path


def read(folder, found, text_only=False, lines=False):
    path = folder / "data.json"
    dumped = [json.dumps(part, ensure_ascii=False) for part in found]
    text = "\n".join(dumped) if lines else "[\n" + ",\n".join(dumped) + "]\n"
    path.write_text(text, encoding="utf-8")
    skipped = SkippedRecords(folder / "skipped.jsonl")
    return RecordIndex(path, folder, skipped, text_only), skipped


def reasons(folder):
    return [json.loads(line)["reason"] for line in (folder / "skipped.jsonl").open()]


@pytest.mark.parametrize("lines", [False, True])
def test_records_of_an_image_come_together_in_either_format(folder, lines):
    many = [record(id="ä"), record(id="b", image="b.png"), record(id="c"), record(image=["b.png"])]
    records, skipped = read(folder, many, lines=lines)
    assert [[part.name for part in records.read(i)] for i in range(len(records))] == [
        ["ä", "c"],
        ["b", "a"],
    ]
    turn = records.read(0)[0].turns[0]
    assert (turn.text, turn.question, turn.answer) == ("What is it? é", "What is it? é", "a ball")
    assert skipped.count == 0


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_list_is_read_piece_by_piece(folder, monkeypatch, chunk):
    monkeypatch.setattr("training.data.scan.CHUNK", chunk)
    many = [record(id="ä🙂"), {"id": "]"}, record(id="b", image="b.png"), record(id="c")]
    records, skipped = read(folder, many)
    assert [[part.name for part in records.read(i)] for i in range(len(records))] == [
        ["ä🙂", "c"],
        ["b"],
    ]
    assert skipped.count == 1


def test_an_item_has_no_more_records_than_it_may(folder):
    path = folder / "data.json"
    path.write_text(json.dumps([record(id=str(i)) for i in range(5)]))
    records = RecordIndex(path, folder, SkippedRecords(None), together=2)
    names = [[part.name for part in records.read(i)] for i in range(len(records))]
    assert names == [["0", "1"], ["2", "3"], ["4"]]


def test_an_indented_list_is_read(folder):
    path = folder / "data.json"
    path.write_text(json.dumps([record(), record(id="b")], indent=2))
    records = RecordIndex(path, folder, SkippedRecords(None))
    assert [part.name for part in records.read(0)] == ["a", "b"]


def test_turns_context_and_boxes_are_read(folder):
    turns = [
        *ASKED,
        {"from": "human", "value": "noise. And where?"},
        {"from": "gpt", "value": "b2"},
    ]
    facts = [{"boxes": [[1, 2, 3, 4]], "family": "cell", "group": "g", "context": ""}]
    facts.append({"boxes": [], "context": "noise."})
    records, _ = read(folder, [record(conversations=turns, questions=facts)])
    first, second = records.read(0)[0].turns
    assert (first.boxes, first.family, first.group) == ([[1, 2, 3, 4]], "cell", "g")
    assert (second.text, second.question, second.context) == (
        "noise. And where?",
        "And where?",
        "noise.",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": "gone.png"}, "gone.png is missing"),
        ({"image": ["a.png", "b.png"]}, "2 images"),
        ({"image": 3}, "not a file name"),
        ({"conversations": []}, "no question with an answer"),
        ({"conversations": ASKED[:1]}, "no question with an answer"),
        ({"conversations": ASKED[::-1]}, "expected human and gpt"),
        ({"conversations": [{"from": "human"}, ASKED[1]]}, "lacks 'from' or 'value'"),
        ({"conversations": [ASKED[0], {"from": "gpt", "value": " "}]}, "empty"),
        ({"conversations": [{"from": "human", "value": "<image>"}, ASKED[1]]}, "empty"),
        ({"conversations": [ASKED[0], {"from": "gpt", "value": 3}]}, "not a string"),
        ({"image": None}, "has no image"),
        ({"image": 300 * "x"}, "is missing"),
        ({"conversations": [ASKED[0], {"from": "gpt", "value": "an <image>"}]}, "answer contains"),
        ({"questions": ["a"]}, "not a list of objects"),
        ({"questions": {"boxes": []}}, "not a list of objects"),
        ({"questions": [{"boxes": [[1, 2, 3]]}]}, "not a list of"),
        ({"questions": [{"boxes": [1, 2, 3, 4]}]}, "not a list of"),
    ],
)
def test_bad_records_are_skipped_counted_and_listed(folder, changes, reason):
    records, skipped = read(folder, [record(id="bad", **changes), record(id="good")])
    assert [part.name for part in records.read(0)] == ["good"]
    assert (len(records), skipped.count) == (1, 1)
    assert reason in reasons(folder)[0]


def test_text_alone_is_kept_where_it_is_of_use(folder):
    alone = {"id": "t", "conversations": ASKED}
    records, _ = read(folder, [record(), alone, alone | {"id": "u"}], text_only=True)
    assert [[part.name for part in records.read(i)] for i in range(3)] == [["a"], ["t"], ["u"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no usable record"),
        ("[]", "contains no usable record"),
        ("[3]", "contains no usable record"),
        ('[{"id": 1}, {"id"', "not a JSON list"),
        ('{"id": 1}\n{"id"', "Line 2"),
    ],
)
def test_broken_and_empty_files_are_refused(folder, text, message):
    path = folder / "data.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        RecordIndex(path, folder, SkippedRecords(None))


def test_missing_files_and_folders_are_refused(folder):
    with pytest.raises(InputError, match=r"data file .* does not exist"):
        RecordIndex(folder / "gone.json", folder, SkippedRecords(None))
    (folder / "data.json").write_text("[]")
    with pytest.raises(InputError, match=r"image folder .* does not exist"):
        RecordIndex(folder / "data.json", folder / "gone", SkippedRecords(None))


def test_what_fails_while_training_is_skipped_too(folder):
    long = [{"from": "human", "value": "what? " * 2000}, ASKED[1]]
    found = [record(id="bad", image="broken.png"), record(id="long", conversations=long), record()]
    records, skipped = read(folder, found)
    encoder = Encoder(Backbone(tiny_model(), build_processor(), "tiny"))
    encoder.max_length = 1000
    data = Conversations(records, encoder)
    assert data[0] is None
    assert [len(data[1].rows), skipped.count] == [1, 2]
    assert "more tokens than" in reasons(folder)[1]
    batch = Collator(whole=False)([data[0], data[1]])
    assert len(batch["shards"]) == 1
    assert Collator(whole=False)([None])["shards"] == []


def test_other_processes_are_sent_no_weights(folder):
    records, _ = read(folder, [record()])
    data = Conversations(records, Encoder(Backbone(tiny_model(), build_processor(), "tiny")))
    sent = pickle.dumps(data)
    assert len(sent) < 500_000
    assert (pickle.loads(sent)[0].rows[0].ids == data[0].rows[0].ids).all()
