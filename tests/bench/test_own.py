"""Accuracy on a user's own questions: paired, with intervals, by the right scoring rule."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support.ports import free_port
from tests.support.tiny import save_tiny
from vif import data
from vif.__main__ import main
from vif.bench import own
from vif.errors import InputError
from vif.grounding import find_format
from vif.measure import LoadedExample
from vif.trace import Trace


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = save_tiny(tmp_path_factory.mktemp("files"))
    for i in range(4):
        Image.new("RGB", (90, 60 + i), (60 * i, 20, 20)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def run(files, capsys):
    def call(*flags):
        paths = ["--model-path", str(files / "model"), "--adapter", str(files / "adapter")]
        status = main(["bench", *paths, "--max-new-tokens", "2", *map(str, flags)])
        return status, capsys.readouterr()

    return call


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def record(number, source, **scores):
    found = {
        name: {"answer": f"{name} {score}", "score": score, "rule": "exact", "seconds": 0.5,
               "share": [0.5, None], "group": "odd" if number % 2 else "even", "box": None}
        for name, score in scores.items()
    }  # fmt: skip
    return {"key": [0, number], "name": str(number), "source": source, "found": found}


def test_differences_are_paired_and_their_intervals_draw_images():
    records = [record(i, f"image {i // 2}", plain=i % 2, vif=float(i > 0)) for i in range(8)]
    found = own.summarise([*records, {"key": [0, 9], "name": "9", "skipped": "broken"}])
    assert found["plain"]["accuracy"] == 0.5
    assert found["vif"]["accuracy"] == 0.875
    assert found["vif"]["difference"] == 0.375
    assert (found["vif"]["fixed"], found["vif"]["broken"]) == (3, 0)
    low, high = found["vif"]["difference_interval"]
    # Per image one of two is fixed, but for the first.
    assert (low, high) == pytest.approx((0.125, 0.5), abs=0.13)
    assert found["vif"]["groups"]["even"] == {"n": 4, "accuracy": 0.75, "difference": 0.75}
    assert found["vif"]["share"] == [0.5, None]
    assert found["plain"]["agree"] == 1
    shown = own.table(found)
    assert "8 questions, scored 8 by exact" in shown
    assert "+37.5" in shown


def test_the_command_scores_each_question_by_what_is_known(files, run, tmp_path):
    given = lines(
        files / "x.jsonl",
        {"image": "0.png", "question": "What is it?", "answer": "star"},
        {"image": "1.png", "question": "Which?", "choices": ["red", "blue"], "answer": "red"},
        {"image": "2.png", "question": "What?", "answers": ["star", "star", "moon"]},
        {"image": "3.png", "question": "Nobody knows?"},
    )
    flags = ["--data", given, "--methods", "plain", "random", "--out", tmp_path / "out"]
    status, shown = run(*flags, "--json", tmp_path / "found.json")
    assert status == 0, shown.err
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == json.loads((tmp_path / "out" / "bench.json").read_text())
    methods = found["runs"][0]["methods"]
    assert methods["plain"]["rules"] == {"exact": 1, "choice": 1, "vqa": 1}
    assert found["skipped"] == [{"where": "line 4", "why": "it has no answer to compare with"}]
    assert "skipped line 4: it has no answer" in shown.err
    assert found["provenance"]["data"]["questions"] == 3
    assert "random" in shown.out


@pytest.mark.parametrize(
    ("record", "flags", "words"),
    [
        ({"question": "?"}, [], "no question whose answer can be scored"),
        ({"question": "?", "answer": "a"}, ["--score", "choice"], "no choices with an answer"),
        ({"question": "?", "answer": "a"}, ["--controls"], "--controls needs generated scenes"),
        ({"question": "?", "box": [0, 0, 900, 9]}, [], "not on the image of 90 x 60 pixels"),
    ],
)
def test_answers_of_the_wrong_kind_give_one_sentence(files, run, tmp_path, record, flags, words):
    given = lines(files / "y.jsonl", {"image": "0.png"} | record)
    status, shown = run("--data", given, "--methods", "plain", *flags, "--out", tmp_path / "out")
    assert status == 2
    assert words in shown.err


def written(answer, size=(90, 60)):
    """A trace with a given answer, on a LLaVA that crops."""
    empty = np.zeros((1, 1, 1, 1), np.float32)
    cells = np.zeros((1, 4), np.float32)
    meta = {"seconds": 0.1, "layout": {"grids": [{"rows": 1, "columns": 1}]}}
    return Trace("plain", answer, ["x"], np.zeros(1), empty, np.zeros((1, 1, 1, 4)), cells[:, :2],
                 cells, np.zeros(1), meta=meta)  # fmt: skip


def test_a_written_box_is_scored_on_the_original_image(session, image):
    example = data.Example("x", image, "the red star", boxes=((0.25, 0.25, 0.75, 0.75),))
    scorer = own.Scorer(session)
    assert scorer.prompt_of(example) == find_format("llava").ask.format(text="the red star")
    ready = LoadedExample((0, 0), example, image, example.boxes, "")
    for answer, marks in (("[0.25, 0.25, 0.75, 0.75]", 1), ("[0.3, 0.3, 0.4, 0.4]", 0), ("?", 0)):
        assert scorer(ready, {"plain": written(answer)})["plain"]["score"] == marks
    kept = scorer(ready, {"plain": written("[0.25, 0.25, 0.75, 0.75]")})["plain"]["box"]
    assert kept == pytest.approx(example.boxes[0], abs=0.01)


def test_methods_that_only_point_are_scored_by_their_maps(run, tmp_path):
    flags = ["--data", "scene-boxes", "--n", 10, "--boxes-from", "map", "--out", tmp_path / "out"]
    status, shown = run(*flags, "--methods", "plain", "oracle", "uniform")
    assert status == 0, shown.err
    found = json.loads((tmp_path / "out" / "bench.json").read_text())["runs"][0]["methods"]
    assert found["oracle"]["rules"] == {"iou": 10}
    assert found["oracle"]["accuracy"] > found["uniform"]["accuracy"] == 0


def test_refcoco_files_are_read_and_nothing_in_them_is_run(files, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (100, 50)).save(tmp_path / "images" / "a.jpg")
    references = [
        {"ref_id": 1, "ann_id": 5, "image_id": 7, "split": "testA",
         "sentences": [{"sent": "left man"}, {"sent": "man in red"}]},
        {"ref_id": 2, "ann_id": 6, "image_id": 8, "split": "testA", "sentences": [{"sent": "dog"}]},
        {"ref_id": 3, "ann_id": 5, "image_id": 7, "split": "val", "sentences": [{"sent": "hat"}]},
    ]  # fmt: skip
    instances = {
        "annotations": [{"id": 5, "bbox": [10, 5, 40, 20]}, {"id": 6, "bbox": [0, 0, 5, 5]}],
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "lost.jpg"}],
    }
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(references, protocol=2))
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    found = data.read(tmp_path, split="testA")
    assert [e.question for e in found.examples] == ["left man", "man in red"]
    assert found.examples[0].open()[1] == ((0.1, 0.1, 0.5, 0.5),)
    assert "lost.jpg" in found.skipped[0].why
    with pytest.raises(InputError, match="no split 'testB', but testA, val"):
        data.read(tmp_path, split="testB")
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(InputError, match=r"it asks for posix\.getcwd"):
        data.read(tmp_path, split="testA")


@pytest.mark.slow
def test_two_processes_give_the_accuracy_of_one(files, tmp_path):
    flags = [
        "bench", "--model-path", str(files / "model"), "--n", "90", "--methods", "plain", "random",
        "--json",
    ]  # fmt: skip
    assert main([*flags, str(tmp_path / "one.json")]) == 0
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2"]
    launch += ["--multi_gpu", "--main_process_port", str(free_port()), "-m", "vif", *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    launch.append(str(tmp_path / "two.json"))
    done = subprocess.run(launch, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    for run in (*one, *two):
        for method in run["methods"].values():
            del method["cost"]
    assert one == two
