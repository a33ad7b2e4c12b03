"""Attention over data sets: statistics, streaming, resuming, several processes, files."""

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.support.ports import free_port
from tests.support.tiny import NUM_LAYERS, save_tiny, tiny_model
from vif import data, measure, metrics
from vif.__main__ import main
from vif.errors import InputError
from vif.measure import summary
from vif.measure.curves import ALL, FIRST, METRICS
from vif.measure.provenance import fingerprint
from vif.measure.records import RunRecords
from vif.session import load


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("files"))


@pytest.fixture
def run(files, capsys):
    def call(*flags):
        paths = ["--model-path", str(files / "model"), "--adapter", str(files / "adapter")]
        status = main(["attenuation", *paths, "--max-new-tokens", "2", *map(str, flags)])
        return status, capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def measured(files, tmp_path_factory):
    """The folder of a finished run, to be copied, and its flags."""
    folder = tmp_path_factory.mktemp("measured")
    paths = ["--model-path", str(files / "model"), "--adapter", str(files / "adapter")]
    flags = ["--n", "4", "--methods", "plain"]
    assert main(["attenuation", *paths, "--max-new-tokens", "2", *flags, "--out", str(folder)]) == 0
    return folder, flags


def make_job(session, examples, **changes):
    given = data.DataSet("made", "folder", examples)
    return measure.Job(session, given, ["plain", "random"], session.defaults, **changes)


def picture(name, size=(64, 48), colour="red", **fields):
    return data.Example(
        name=name, image=Image.new("RGB", size, colour), question="What is it?", source=name,
        **fields,
    )  # fmt: skip


def test_fingerprints_tell_weights_apart():
    first, again, other = (fingerprint(tiny_model(seed)) for seed in (0, 0, 1))
    assert first == again != other


# Statistics


def test_the_interval_of_a_mean_draws_whole_images():
    values = np.array([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0]])
    together = summary.statistics(values, list("aaabbb"))
    apart = summary.statistics(values, list("abcdef"))
    assert together.mean == apart.mean == 0.5
    # Two images that disagree wholly: a draw has both, or twice the same one.
    assert (together.low, together.high) == (0, 1)
    assert 0 < apart.low < 0.5 < apart.high < 1
    assert (together.n, together.images) == (6, 2)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        centres = rng.normal(size=40)
        values = np.repeat(centres, 3) + rng.normal(size=120) * 0.1
        found = summary.statistics(values[:, None], np.repeat(np.arange(40), 3))
        hits += bool(found.low <= 0 <= found.high)
    assert 175 <= hits <= 199


def test_unknown_values_are_left_out_and_one_image_has_no_interval():
    values = np.array([[1.0, np.nan], [3.0, 5.0]])
    found = summary.statistics(values, ["a", "b"])
    assert found.mean.tolist() == [2, 5]
    assert found.median.tolist() == [2, 5]
    assert np.isnan(summary.statistics(values, ["a", "a"]).low).all()


# What is measured


def test_metrics_are_those_of_the_metrics_package(session, image):
    boxes = [(0.1, 0.2, 0.6, 0.7)]
    trace = session.ask(image, "What is it?", ["plain"], max_new_tokens=3)["plain"]
    found = measure.measure(
        measure.LoadedExample((0, 0), picture("x"), image, boxes, ""), {"plain": trace}
    )["plain"]
    assert set(found[FIRST]) == set(found[ALL]) == {metric.name for metric in METRICS}
    by_layer = metrics.by_layer(trace, 0, boxes)
    for name in ("share", "entropy", "dominance", "in_box", "lift"):
        assert found[FIRST][name] == pytest.approx(by_layer[name], abs=2e-5), name
    clean = metrics.by_layer(trace, 0, boxes, without_sinks=True)
    assert found[FIRST]["share_without_sinks"] == pytest.approx(clean["share"], abs=2e-5)
    shares = [metrics.image_share(trace, token) for token in range(3)]
    assert found[ALL]["share"] == pytest.approx(np.mean(shares, 0), abs=2e-5)
    parts = np.sum([found[FIRST][name] for name in ("share", "question", "answer", "other")], 0)
    assert parts == pytest.approx(np.ones(NUM_LAYERS), abs=1e-4)
    assert found["attenuation"] == pytest.approx(metrics.attenuation(trace), abs=2e-5)


def test_questions_are_grouped_by_the_number_of_text_tokens():
    curves = {metric.name: [0.5] for metric in METRICS}
    records = [
        {
            "key": [0, i], "name": str(i), "source": str(i),
            "found": {"plain": {"answer": "", "text_tokens": length, "attenuation": 0.1,
                                FIRST: curves | {"share": [length / 100]}, ALL: curves}},
        }
        for i, length in enumerate((10, 20, 40, 99))
    ]  # fmt: skip
    entries = summary.summarise(records)
    share = {
        e["text_tokens"]: (e["n"], e["mean"])
        for e in entries
        if e["metric"] == "share" and e["tokens"] == FIRST
    }
    assert share == {
        "all": (4, [0.4225]), "0-31": (2, [0.15]), "32-63": (1, [0.4]), "64-127": (1, [0.99])
    }  # fmt: skip


# Streaming


def test_a_run_resumes_where_it_stopped(session, tmp_path):
    job = make_job(session, [picture(f"p{i}", colour=(i * 20, 0, 0)) for i in range(5)])
    whole = RunRecords(tmp_path / "whole", {})
    measure.ask_all(job, measure.measure, whole)
    part = RunRecords(tmp_path / "part", {"a": 1})
    small = make_job(session, job.data.examples, batch_size=2)
    asked = []

    def measure_some(ready, traces):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(ready.example.name)
        return measure.measure(ready, traces)

    with pytest.raises(KeyboardInterrupt):
        measure.ask_all(small, measure_some, part)
    with part.path.open("a") as file:
        file.write('{"key": [0, 2], "na')  # the process died while it wrote
    again = RunRecords(tmp_path / "part", {"a": 1})
    assert again.done == {(0, 0), (0, 1)}
    measure.ask_all(small, measure.measure, again)
    found = {record["name"]: record for record in again.read()}
    assert set(found) == {f"p{i}" for i in range(5)}
    for record in whole.read():
        got, want = (r["found"]["plain"][FIRST]["share"] for r in (found[record["name"]], record))
        assert got == pytest.approx(want, abs=2e-5)


def test_a_folder_of_another_run_is_refused(tmp_path):
    RunRecords(tmp_path, {"methods": ["plain"], "n": 3})
    with pytest.raises(InputError, match="contains another run, with other methods: give another"):
        RunRecords(tmp_path, {"methods": ["vif"], "n": 3})
    RunRecords(tmp_path, {"methods": ["plain"], "n": 3}).write([{"key": [0, 0]}])
    anew = RunRecords(tmp_path, {"methods": ["vif"], "n": 3}, restart=True)
    assert not anew.done
    assert RunRecords(tmp_path, {"methods": ["vif"], "n": 3}).done == set()


def test_bad_images_and_boxes_are_listed_and_the_rest_is_measured(session, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n no more")
    examples = [
        picture("good"),
        data.Example("broken", broken, "What is it?"),
        picture("off", boxes=((0, 0, 500, 20),)),
        picture("endless", context="word " * 20000),
        picture("wide", size=(200, 40)),
    ]
    records = RunRecords(tmp_path / "out", {})
    measure.ask_all(make_job(session, examples), measure.measure, records)
    found = {record["name"]: record for record in records.read()}
    assert {name for name, record in found.items() if "found" in record} == {"good", "wide"}
    assert "damaged" in found["broken"]["skipped"]
    assert "not on the image" in found["off"]["skipped"]


def test_a_method_that_cannot_answer_is_reported_before_anything_is_measured(session, tmp_path):
    job = make_job(session, [picture(f"p{i}") for i in range(4)])
    wrong = measure.Job(session, job.data, ["plain", "look+mix"], session.defaults)
    records = RunRecords(tmp_path, {})
    with pytest.raises(InputError, match="needs a place"):
        measure.ask_all(wrong, measure.measure, records)
    assert not list(records.read())


def test_a_full_disk_keeps_what_is_done(session, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    records = RunRecords(tmp_path, {})
    records.write([{"key": [0, 9], "name": "before", "skipped": ""}])
    records.path = tmp_path / "records-full.jsonl"
    records.path.symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"No space left on device\); 1 questions are done"):
        measure.ask_all(make_job(session, [picture("p")]), measure.measure, records)


# The command


def test_the_command_writes_every_file_and_its_provenance(run, tmp_path):
    flags = ["--n", 6, "--text", 0, 40, "--methods", "plain", "pai", "--set", "pai.alpha=0.3"]
    status, shown = run(*flags, "--out", tmp_path / "out")
    assert status == 0
    out = tmp_path / "out"
    table = pd.read_csv(out / "attenuation.csv")
    pd.testing.assert_frame_equal(
        table, pd.read_parquet(out / "attenuation.parquet"), check_dtype=False
    )
    assert set(table.method) == {"plain", "pai"}
    some = table[(table.metric == "share") & (table.tokens == "first") & (table.text == 40)]
    assert sorted(some.layer) == sorted([*range(NUM_LAYERS)] * 2)
    assert (some.low <= some["mean"]).all()
    assert (some["mean"] <= some.high).all()
    result = measure.MeasuredCurves.load(out)
    origin = result.provenance
    assert origin["methods"]["pai"]["alpha"] == 0.3
    assert origin["data"]["kind"] == "scenes"
    assert len(origin["data"]["sha256"]) == 64
    assert origin["versions"]["torch"]
    assert len(set(origin["weights"].values())) == 2
    assert Image.open(out / "attenuation.png").width > 1800
    ElementTree.parse(out / "attenuation.svg")
    page = (out / "attenuation.html").read_text()
    assert "Attention on the image" in page
    assert "<script src=" not in page
    assert "6/12 questions" in shown.err or "12/12 questions" in shown.err
    assert "less at the image than the layer that looks most" in shown.out


def test_a_second_call_asks_nothing_again(run, measured, tmp_path, monkeypatch):
    folder, flags = measured
    shutil.copytree(folder, tmp_path / "out")
    before = (tmp_path / "out" / "attenuation.csv").read_text()
    monkeypatch.setattr("vif.session.Session.ask_batch", None)
    assert run(*flags, "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "attenuation.csv").read_text() == before


def test_own_images_are_measured_and_a_broken_one_is_listed(run, tmp_path):
    for i in range(3):
        Image.new("RGB", (50 + 20 * i, 60), (80 * i, 10, 10)).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_text("nothing")
    status, shown = run("--data", tmp_path, "--methods", "plain", "--out", tmp_path / "out")
    assert status == 0
    assert "skipped bad.png" in shown.err
    result = measure.MeasuredCurves.load(tmp_path / "out")
    assert [entry["where"] for entry in result.skipped] == ["bad.png"]
    assert {entry["n"] for entry in result.entries} == {3}
    assert "in_box" not in {entry["metric"] for entry in result.entries}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--n", "0"], "--n is 0"),
        (["--data", "lost.jsonl"], "no file 'lost.jsonl'"),
        (["--columns", "x=y"], "--columns 'x=y' cannot be read"),
        (["--text", "-1"], "--text at least 0"),
        (["--methods", "nothing"], "Unknown method"),
        (["--compare", "lost.json"], "lost.json is not a result of 'vif attenuation'"),
    ],
)
def test_mistakes_give_one_sentence(run, tmp_path, flags, words):
    status, shown = run(*flags, "--out", tmp_path / "out")
    assert status == 2
    assert words in shown.err
    assert "Traceback" not in shown.err


def test_results_are_compared_by_model_and_method(run, measured, tmp_path):
    for name in ("0", "1"):
        shutil.copytree(measured[0], tmp_path / name)
    second = json.loads((tmp_path / "1" / "attenuation.json").read_text())
    second["provenance"]["model"] = "other"
    second["num_layers"] = 2
    for entry in second["entries"]:
        for name in ("mean", "low", "high", "median", "q25", "q75"):
            entry[name] = entry[name][:2]
    (tmp_path / "1" / "attenuation.json").write_text(json.dumps(second))
    both = [tmp_path / "0", tmp_path / "1" / "attenuation.json"]
    status, shown = run("--compare", *both, "--out", tmp_path / "both")
    assert status == 0
    assert set(pd.read_csv(tmp_path / "both" / "comparison.csv").model) == {"model", "other"}
    drawn = measure.lines.lines([measure.MeasuredCurves.load(path) for path in both], "share")
    assert [line.label for line in drawn] == ["model: Plain", "other: Plain"]
    # Layers of models of different depth are placed by their share of it.
    assert drawn[0].depth[-1] == drawn[1].depth[-1] == 1
    assert len({line.colour for line in drawn}) == 2
    status, shown = run("--compare", both[0], both[0], "--out", tmp_path / "both")
    assert status == 2
    assert "contain the same model" in shown.err


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(files, tmp_path):
    flags = [
        "attenuation", "--model-path", str(files / "model"), "--n", "14", "--batch-size", "4",
        "--methods", "plain", "--max-new-tokens", "2", "--out",
    ]  # fmt: skip
    assert main([*flags, str(tmp_path / "one")]) == 0
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2"]
    launch += ["--multi_gpu", "--main_process_port", str(free_port()), "-m", "vif", *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    launch.append(str(tmp_path / "two"))
    done = subprocess.run(launch, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    by_process = sorted(path.name for path in (tmp_path / "two").glob("records-*"))
    assert by_process == ["records-0.jsonl", "records-1.jsonl"]
    one, two = (pd.read_csv(tmp_path / name / "attenuation.csv") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=0, atol=3e-5)
    assert done.stdout.count("wrote") == 6


def test_a_session_can_be_measured_in_python(files, tmp_path):
    session = load(files / "model")
    records = RunRecords(tmp_path, {})
    measure.ask_all(make_job(session, [picture("a"), picture("b")]), measure.measure, records)
    entries = measure.summarise(records.read())
    assert {entry["method"] for entry in entries} == {"plain", "random"}
