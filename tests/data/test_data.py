"""A user's own questions: all formats give the same examples; broken entries are listed."""

import json

import pytest
from PIL import Image

from vif import data
from vif.data.fields import answers_of, boxes_of
from vif.errors import InputError
from vif.scenes import GROUP_OF
from vif.scenes.export import export_scenes


@pytest.fixture
def folder(tmp_path):
    for name, size in (("wide.png", (120, 40)), ("high.jpg", (30, 90))):
        Image.new("RGB", size, "green").save(tmp_path / name)
    return tmp_path


def write_lines(path, *records):
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in records))
    return path


def test_a_folder_is_read_with_one_question_for_all(folder):
    (folder / "notes.txt").write_text("no image")
    found = data.read(folder, question="What colour?")
    assert [(e.name, e.question) for e in found.examples] == [
        ("high.jpg", "What colour?"),
        ("wide.png", "What colour?"),
    ]
    assert found.examples[1].open()[0].size == (120, 40)


def test_an_empty_folder_gives_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no image in the folder"):
        data.read(tmp_path)


def test_lines_bring_answers_boxes_and_choices(folder):
    lines = write_lines(
        folder / "x.jsonl",
        {"image": "wide.png", "question": "Colour?", "answer": "green", "boxes": [12, 4, 60, 20]},
        {"image": "high.jpg", "query": "Which?", "options": ["red", "green"], "answer": 1},
        {"image": "high.jpg", "question": "Which?", "choices": ["red", "green"], "answer": "b"},
        {"image": "high.jpg", "question": "?", "answers": [{"answer": "a"}, {"answer": "b"}]},
    )
    first, second, third, fourth = data.read(lines).examples
    assert first.answers == ("green",)
    image, boxes = first.open()
    assert image.size == (120, 40)
    assert boxes == ((0.1, 0.1, 0.5, 0.5),)
    assert second.answers == third.answers == ("green",)
    assert fourth.answers == ("a", "b")


def test_broken_lines_are_listed_and_the_rest_is_read(folder):
    good = {"image": "wide.png", "question": "Colour?"}
    lines = write_lines(
        folder / "x.jsonl",
        good, "{not json", [1], {"question": "no image"}, {"image": "lost.png", "question": "?"},
        good | {"question": 3}, good | {"answer": [[]]}, good | {"boxes": [1, 2, 3]},
        good | {"choices": ["a", "b"], "answer": "c"}, good | {"choices": "ab"}, "", good,
    )  # fmt: skip
    found = data.read(lines)
    assert [e.name for e in found.examples] == ["line 1", "line 12"]
    assert [s.where for s in found.skipped] == [f"line {i}" for i in range(2, 11)]
    whys = " | ".join(s.why for s in found.skipped)
    for words in ("no JSON", "image is missing", "lost.png", "question is 3", "box is", "none of"):
        assert words in whys


def test_boxes_outside_of_the_image_are_refused_when_it_is_opened(folder):
    lines = write_lines(
        folder / "x.jsonl", {"image": "wide.png", "question": "?", "box": [0, 0, 200, 20]}
    )
    with pytest.raises(InputError, match="not on the image of 120 x 40"):
        data.read(lines).examples[0].open()


def test_pixel_boxes_hold_for_turned_photographs(folder):
    photo = Image.new("RGB", (120, 40), "green")
    exif = photo.getexif()
    exif[274] = 6  # the camera was held upright: shown as 40 x 120
    photo.save(folder / "turned.jpg", exif=exif)
    lines = write_lines(
        folder / "x.jsonl", {"image": "turned.jpg", "question": "?", "box": [0, 60, 40, 120]}
    )
    image, boxes = data.read(lines).examples[0].open()
    assert image.size == (40, 120)
    assert boxes == ((0, 0.5, 1, 1),)


def test_columns_name_a_persons_own_fields(folder):
    lines = write_lines(folder / "x.jsonl", {"pic": "wide.png", "ask": "Colour?"})
    found = data.read(lines, columns={"image": "pic", "question": "ask"})
    assert found.examples[0].question == "Colour?"
    with pytest.raises(InputError, match="no usable question; line 1: there is no 'q'"):
        data.read(lines, columns={"image": "pic", "question": "q"})


def test_llava_conversations_are_one_question_per_turn(folder):
    records = [
        {
            "image": "wide.png",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat colour?"},
                {"from": "gpt", "value": "green"},
                {"from": "human", "value": "Why?"},
                {"from": "gpt", "value": "paint"},
            ],
        },
        {"image": "gone.png", "conversations": []},
        {"conversations": []},
    ]
    (folder / "x.json").write_text(json.dumps(records))
    found = data.read(folder / "x.json")
    assert [(e.question, e.answers) for e in found.examples] == [
        ("What colour?", ("green",)),
        ("Why?", ("paint",)),
    ]
    assert [s.where for s in found.skipped] == ["record 1", "record 2"]
    (folder / "x.json").write_text("{}")
    with pytest.raises(InputError, match="contains no list"):
        data.read(folder / "x.json")


def test_exported_scenes_come_back_as_the_scenes_themselves(tmp_path):
    path = export_scenes(tmp_path, "test", 3)
    exported, drawn = data.read(path).examples, data.read(number=15).examples
    assert [(e.question, e.answers) for e in exported] == [(e.question, e.answers) for e in drawn]
    assert {e.group for e in exported} <= set(GROUP_OF)
    for one, other in zip(exported, drawn, strict=True):
        flat = [[side for box in e.open()[1] for side in box] for e in (one, other)]
        assert flat[0] == pytest.approx(flat[1], abs=1e-3)
    with_text = export_scenes(tmp_path / "text", "test", 1, text=20)
    first = data.read(with_text).examples[0]
    assert first.question == drawn[0].question
    assert first.context


def test_a_data_set_of_the_hub_is_read_lazily_and_its_columns_are_checked(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    pictures = [Image.new("RGB", (20 + i, 10), "red") for i in range(3)]
    columns = {"image": pictures, "query": ["a?", "", "c?"], "answers": [["x"], ["y"], ["z"]]}
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "query": datasets.Value("string"),
            "answers": datasets.List(datasets.Value("string")),
        }
    )
    (tmp_path / "made").mkdir()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(
        tmp_path / "made" / "test.parquet"
    )
    found = data.hub.read_hub(str(tmp_path / "made"), "test", {})
    assert [e.question for e in found.examples] == ["a?", "c?"]
    assert [s.where for s in found.skipped] == ["row 1"]
    assert found.examples[1].open()[0].size == (22, 10)
    with pytest.raises(InputError, match=r"no column text, but image, query, answers"):
        data.hub.read_hub(str(tmp_path / "made"), "test", {"question": "text"})
    with pytest.raises(InputError, match="no data set with a split"):
        data.read("no/such-data-set")


def test_samples_repeat_and_keep_the_order(folder):
    lines = write_lines(
        folder / "x.jsonl",
        *({"image": "wide.png", "question": f"Is it {i}?"} for i in range(50)),
    )
    found = data.read(lines)
    one, again, other = (data.sample(found, 10, seed) for seed in (0, 0, 1))
    assert one.examples == again.examples != other.examples
    places = [found.examples.index(e) for e in one.examples]
    assert places == sorted(places)
    assert len(set(places)) == 10
    assert data.sample(found, 60) is found


def test_the_checksum_tells_questions_and_pictures_apart(folder):
    record = {"image": "wide.png", "question": "?", "answer": "a"}
    one = data.checksum(data.read(write_lines(folder / "a.jsonl", record)).examples)
    again = data.checksum(data.read(write_lines(folder / "b.jsonl", record)).examples)
    changed = write_lines(folder / "c.jsonl", record | {"answer": "b"})
    assert one == again != data.checksum(data.read(changed).examples)
    Image.new("RGB", (120, 40), "blue").save(folder / "wide.png")
    assert one != data.checksum(data.read(folder / "a.jsonl").examples)


@pytest.mark.parametrize("given", [{"a": 1}, "text", [[1, 2]], [[1, 2, 3, "x"]], 5])
def test_what_is_not_a_box_is_reported(given):
    with pytest.raises(InputError, match="expected x0, y0, x1, y1"):
        boxes_of(given)


def test_an_answer_of_the_wrong_kind_is_shown_as_it_was_given():
    with pytest.raises(InputError, match=r"its answer is \{'said': 'a'\}, expected a text"):
        answers_of([{"said": "a"}], ())


def test_answers_are_texts_whatever_they_were():
    assert answers_of(3, ()) == ("3",)
    assert answers_of(["a", 2], ()) == ("a", "2")
    with pytest.raises(InputError, match="choice 4"):
        answers_of(4, ("a", "b"))
