"""The command line, on a tiny random model."""

import argparse
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.tiny import save_tiny
from vif.__main__ import build_parser, main
from vif.commands.flags.common import parse_options
from vif.scenes import ask_scene, draw_scene
from vif.trace import Trace


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model, an adapter and an image on disk."""
    folder = save_tiny(tmp_path_factory.mktemp("files"))
    Image.new("RGB", (80, 60), "red").save(folder / "image.png")
    return folder


@pytest.fixture
def run(files, capsys):
    def call(command, *flags):
        model = ["--model-path", str(files / "model"), "--adapter", str(files / "adapter")]
        status = main([command, *model, *flags])
        return status, capsys.readouterr()

    return call


def parsers(parser):
    """The parsers of all commands, and of theirs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for found in action.choices.values():
                yield found
                yield from parsers(found)


def test_every_command_says_what_it_does_and_what_each_flag_is():
    for found in parsers(build_parser()):
        assert found.description[0].isupper(), found.prog
        assert found.description[-1] in ".?", found.prog
        flags = [action for action in found._actions if action.dest != "probe"]
        assert not [action.dest for action in flags if not action.help], found.prog


def test_ask_prints_the_promised_json(files, run):
    flags = ["--image-file", str(files / "image.png"), "--query", "What is this?", "--json"]
    status, shown = run("ask", *flags, "--max-new-tokens", "3")
    assert status == 0
    found = json.loads(shown.out)
    assert {"model", "answers", "attenuation", "entropy", "mixtures"} <= set(found)
    assert set(found["answers"]) == {"plain", "vif"}
    assert len(found["answers"]["vif"]["tokens"]) == 3
    assert {m["layer"] for m in found["mixtures"]} == {3, 4, 5}


def test_a_scene_brings_its_question_and_boxes_and_metrics_can_be_had(run):
    flags = ["--scene", "3", "--methods", "plain", "oracle", "--json", "--metrics"]
    status, shown = run("ask", *flags, "--max-new-tokens", "1")
    assert status == 0
    found = json.loads(shown.out)
    assert found["question"].endswith("?") or found["question"].endswith(".")
    curves = found["metrics"]["oracle"]
    assert {"share", "gini", "in_box", "lift"} <= set(curves)
    assert {len(values) for values in curves.values()} == {6}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods", "vif", "--set", "pai.alpha=0.5"], "'pai', which is not among"),
        (["--methods", "vif", "--controls", "relative+cut"], "--controls names 'relative+cut'"),
        (["--seed", "-1"], "(seed) is -1"),
        (["--json", "/dev/null/found.json"], "/dev/null/found.json cannot be written"),
    ],
)
def test_a_mistake_in_a_benchmark_gives_one_sentence_before_it_begins(run, flags, words):
    status, shown = run("bench", "--n", "5", *flags)
    assert status == 2
    assert words in shown.err.splitlines()[-1]


def test_a_scene_takes_the_question_that_the_page_copies(run):
    """A question about the scene brings its boxes; any other has none."""
    known = next(one for one in ask_scene(draw_scene(3), 3) if one.boxes)
    flags = ["--scene", "3", "--query", known.text, "--methods", "plain", "oracle", "--json"]
    status, shown = run("ask", *flags, "--max-new-tokens", "1")
    assert status == 0
    assert json.loads(shown.out)["question"] == known.text
    flags[3] = "Is this a picture?"
    status, shown = run("ask", *flags, "--max-new-tokens", "1")
    assert status == 2
    assert run("ask", *flags[:4], "--methods", "plain", "--max-new-tokens", "1")[0] == 0
    marked = ["--methods", "look", "--box", "0.1", "0.1", "0.4", "0.4", "--max-new-tokens", "1"]
    assert run("ask", *flags[:4], *marked)[0] == 0


def test_a_sweep_needs_no_injection_range(run):
    late = ["--latent-learning-start", "3", "--latent-learning-end", "4"]
    status, shown = run("sweep", "--scene", "3", *late)
    assert status == 0
    assert "best: layers" in shown.out


def test_underscores_and_published_names_work(files, run):
    flags = ["--image_file", str(files / "image.png"), "--query", "What?", "--json"]
    status, shown = run("ask", *flags, "--latent_apply_start", "5", "--max_new_tokens", "1")
    assert status == 0
    assert {m["layer"] for m in json.loads(shown.out)["mixtures"]} == {5}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--query", " "], "(question) is ' ', expected a text of 1 to 2,000 characters"),
        (["--query", "x" * 10_000], "expected a text of 1 to 2,000 characters"),
        (["--context", "x" * 10_000], "expected a text of at most 8,000 characters"),
        (["--max-new-tokens", "5000"], "(max_new_tokens) is 5000"),
        (["--latent-bias-alpha", "nan"], "(alpha) is nan"),
        (["--latent-bias-alpha", "2"], "(alpha) is 2"),
        (["--latent-apply-start", "1"], "before the injection range"),
        (["--latent-apply-end", "99"], "layers 0 to 5"),
        (["--methods", "magic"], "Unknown method 'magic'"),
        (["--image-file", "missing.png"], "missing.png"),
        (["--model-path", "no/such/folder"], "no/such/folder"),
        (["--adapter", "no-such-folder"], "no-such-folder"),
    ],
)
def test_a_mistake_gives_one_sentence(files, run, monkeypatch, flags, words):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    good = ["--image-file", str(files / "image.png"), "--query", "What?"]
    status, shown = run("ask", *good, *flags)
    assert status == 2
    # Before it there may be the progress bar of the weights.
    message = shown.err.splitlines()[-1]
    assert message.startswith("error: ")
    assert words in message
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_bench_writes_one_run_per_text_length(run, tmp_path):
    path = tmp_path / "bench.json"
    flags = ["--n", "12", "--text", "0", "16", "--json", str(path), "--seed", "3"]
    status, shown = run("bench", *flags)
    assert status == 0
    runs = json.loads(path.read_text())
    assert [r["text"] for r in runs] == [0, 16]
    methods = runs[0]["methods"]
    assert list(methods) == ["plain", "vif", "uniform", "random", "oracle"]
    for found in methods.values():
        for key in ("accuracy", "interval", "difference", "difference_interval"):
            assert "all" in found[key]
        assert len(found["share"]) == len(found["in_box"]) == 6
    assert methods["plain"]["difference"]["all"] == 0
    assert methods["plain"]["pointing"] is None
    assert methods["oracle"]["pointing"] == 1.0
    assert "oracle" in shown.out


def test_settings_of_a_method_come_from_the_command_line():
    given = ["pai.alpha=0.3", "pai.gamma=1.1", "vaf.beta=2", "pai.alpha=0.5"]
    assert parse_options(given) == {"pai": {"alpha": 0.5, "gamma": 1.1}, "vaf": {"beta": 2.0}}


@pytest.mark.parametrize("given", ["alpha=0.3", "pai.alpha", "pai.=1", ".alpha=1", "pai.alpha=x"])
def test_a_setting_that_cannot_be_read_gives_one_sentence(files, run, given):
    flags = ["--image-file", str(files / "image.png"), "--query", "What?", "--set", given]
    status, shown = run("ask", *flags)
    assert status == 2
    assert "method.option=value" in shown.err.splitlines()[-1]


def test_a_setting_that_the_method_lacks_gives_one_sentence(files, run):
    flags = ["--image-file", str(files / "image.png"), "--query", "What?", "--set", "plain.x=1"]
    status, shown = run("ask", *flags)
    assert status == 2
    assert "Method 'plain' has no setting 'x'" in shown.err.splitlines()[-1]


def test_an_underscore_in_a_value_stays(files, run):
    flags = [f"--image_file={files / 'image.png'}", "--query=a_b", "--json", "--max_new_tokens=1"]
    status, shown = run("ask", *flags)
    assert status == 0
    assert json.loads(shown.out)["question"] == "a_b"


def test_sweep_prints_the_grid_and_writes_it(files, run, tmp_path):
    path = tmp_path / "sweep.json"
    status, shown = run("sweep", "--scene", "3", "--json", str(path))
    assert status == 0
    found = json.loads(path.read_text())
    scene = draw_scene(3, "test")
    (question,) = [q for q in ask_scene(scene, 3) if q.text == found["question"]]
    assert found["answer"] == question.answer
    assert np.shape(found["change"]) == (6, 6)
    start, end = found["best"]
    assert f"{found['change'][start][end]:+.3f}" in shown.out
    assert len([line for line in shown.out.splitlines() if line[:1].isdigit()]) == 6


@pytest.mark.parametrize(
    ("probe", "flags", "keys", "words"),
    [
        ("knockout", ["--window", "2"], {"flows", "spans", "change"}, "non-object->question"),
        ("exit", [], {"after", "same", "kl", "first"}, "never seen"),
        ("deletion", ["--draws", "2"], {"shares", "top", "random", "area"}, "top of vif"),
        ("deletion", ["--draws", "2", "--map", "attention"], {"area"}, "top of attention"),
        ("heads", ["--top", "2"], {"divergence", "relative", "total"}, "T-VHD"),
        ("inside", [], {"attention", "value_norms", "dynamics"}, "massive activations"),
        ("sweep", ["--map", "uniform"], {"change", "best"}, "best: layers"),
    ],
)
def test_probes_print_a_table_and_write_numbers(files, capsys, tmp_path, probe, flags, keys, words):
    path = tmp_path / "found.json"
    model = ["--model-path", str(files / "model"), "--adapter", str(files / "adapter")]
    status = main(["probe", probe, *model, "--scene", "3", "--json", str(path), *flags])
    shown = capsys.readouterr()
    assert status == 0
    assert keys <= set(json.loads(path.read_text()))
    assert words in shown.out


def test_an_own_picture_can_be_probed(files, run, capsys):
    flags = ["--image-file", str(files / "image.png"), "--query", "What?"]
    model = ["--model-path", str(files / "model")]
    boxed = ["--box", "0.1", "0.1", "0.4", "0.4", "--flows", "object->last"]
    assert main(["probe", "knockout", *model, *flags, *boxed]) == 0
    assert "object->last" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "Give --image-file or --video with --query"),
        (["--query", "What?"], "Give --image-file or --video with --query"),
        (["--scene", "3", "--image-file", "x.png"], "Give only one of"),
        (["--scene", "3", "--query", " "], "(question) is empty"),
        (["--scene", "-1"], "--scene is -1"),
        (["--scene", "3", "--question", "99"], "scene 3 has questions 0 to"),
        (["--scene", "3", "--method", "plain"], "injects no map"),
        (["--image-file", "x.png", "--query", "a", "--box", "1", "0", "0", "1"], "A box is"),
        (["--scene", "3", "--box", "0", "0", "2", "1"], "(look[0][2]) is 2.0"),
    ],
)
def test_a_mistake_in_a_sweep_gives_one_sentence(run, flags, words):
    status, shown = run("sweep", *flags)
    assert status == 2
    assert words in shown.err.splitlines()[-1]
    assert shown.out == ""


def test_speed_prints_ratios(run, tmp_path):
    path = tmp_path / "speed.json"
    flags = ["--repetitions", "1", "--tokens", "1", "--methods", "plain", "--json", str(path)]
    status, shown = run("speed", *flags)
    assert status == 0
    assert len(json.loads(path.read_text())) == 8
    assert "sweep of 21 injection ranges" in shown.out


@pytest.mark.parametrize(
    "words",
    [
        ["scenes", "--n", "1", "--out", "/dev/null/scenes"],
        ["ask", "--scene", "3", "--methods", "plain", "--save", "/dev/null/traces"],
    ],
)
def test_a_folder_that_cannot_be_written_gives_one_sentence(words, capsys):
    assert main(words) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: '/dev/null/")
    assert "cannot be used (Not a directory)" in told


def test_ask_shows_other_images_and_frames_of_a_video(files, run):
    image, video = str(files / "image.png"), str(files / "clip.avi")
    writer = cv2.VideoWriter(video, cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for number in range(9):
        writer.write(np.full((60, 80, 3), number * 20, np.uint8))
    writer.release()
    common = ["--query", "What is this?", "--json", "--max-new-tokens", "1"]
    others = ["--image-file", image, "--other", image, image, "--place", "1"]
    frames = ["--video", video, "--frames", "3", "--frame", "2"]
    for flags, save in ((others, "others"), (frames, "frames")):
        status, shown = run("ask", *flags, *common, "--save", str(files / save))
        assert status == 0
        beside = json.loads(shown.out)["others"]["plain"]
        assert all(0 < share < 1 for share in beside)
    traces = [Trace.load(files / save / "plain.npz") for save in ("others", "frames")]
    assert [(trace.meta["images"], trace.meta["image"]) for trace in traces] == [(3, 1), (3, 2)]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--image-file", "a.png", "--video", "b.mp4", "--query", "What?"], "Give only one of"),
        (["--video", "none.mp4", "--query", "What?"], "There is no file 'none.mp4'"),
        (["--video", "none.mp4"], "Give --image-file or --video with --query"),
        (["--scene", "3", "--other", "none.png"], "There is no file 'none.png'"),
        (["--scene", "3", "--other", "a.png", "--place", "2"], "after 2 of 1"),
        (["--scene", "3", "--place", "1"], "after 1 of 0"),
        (["--scene", "3", "--frame", "1"], "give --video, or remove --frame"),
    ],
)
def test_a_mistake_with_other_images_gives_one_sentence(run, flags, words):
    status, shown = run("ask", *flags)
    assert status == 2
    assert words in shown.err.splitlines()[-1]
