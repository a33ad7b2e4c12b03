import json
from pathlib import Path

import gradio as gr
import pytest

from tests.support.fake_page import PICTURE, QUESTION, clicked
from tests.support.fake_session import FakeSession
from vif.errors import InputError
from vif.scenes import is_correct
from vif.ui import build_demo
from vif.ui.features import training
from vif.ui.state.training_run import TrainingRun, highest_weight

STEPS = (0, 50, 100)


@pytest.fixture
def folder(tmp_path):
    PICTURE.save(tmp_path / "image-0.png")
    questions = [
        {"question": text, "context": "", "answer": "red", "image": "image-0.png"}
        for text in (QUESTION, "<b>Where?</b>")
    ]
    steps = []
    for step in STEPS:
        place = tmp_path / f"step-{step:06d}"
        place.mkdir()
        files = {"plain": [], "vif": []}
        for i, asked in enumerate(questions):
            alpha = step / 200
            found = FakeSession().ask(None, asked["question"], alpha=alpha)
            for name, trace in found.items():
                trace.save(place / f"{i}-{name}.npz")
                files[name].append(f"{place.name}/{i}-{name}.npz")
        steps.append({"step": step, "traces": files})
    # Not in order, as after a resumed training run.
    index = {"trained_on": "40 images", "questions": questions, "steps": steps[::-1]}
    (tmp_path / "index.json").write_text(json.dumps(index))
    return tmp_path


def test_a_run_is_read_in_order_of_its_steps(folder):
    run = TrainingRun.read(folder)
    assert run.steps == STEPS
    frames = run.frames(0)
    strength = [frame.traces["vif"].mixtures[0].strength.mean() for frame in frames]
    assert strength == sorted(strength)
    assert list(frames[0].traces) == ["plain", "vif"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "contains no index.json"),
        ("{", "is not the index"),
        ('{"steps": [], "questions": []}', "lists no steps"),
        ('{"steps": 3}', "is not the index"),
    ],
)
def test_a_broken_index_gives_one_sentence(tmp_path, content, words):
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(InputError, match=words):
        TrainingRun.read(tmp_path)


def test_no_folder_gives_one_sentence():
    with pytest.raises(InputError, match="No folder is named"):
        TrainingRun.read("  ")


def test_a_missing_trace_is_named_and_nothing_outside_is_read(folder, tmp_path_factory):
    run = TrainingRun.read(folder)
    (folder / "step-000050" / "0-vif.npz").unlink()
    with pytest.raises(InputError, match=r"0-vif\.npz is missing"):
        run.frames(0)
    run.questions[0]["image"] = "../../secret.png"
    with pytest.raises(InputError, match="outside its folder"):
        run.frames(0)


def test_all_steps_share_one_scale(folder):
    frames = list(zip(STEPS, TrainingRun.read(folder).frames(0), strict=True))
    top = highest_weight([frame for _, frame in frames], 0)
    drawn = [training.step_view(frames, 0, i)[1]["figures"] for i in range(3)]
    assert {figures[1]["top"] for figures in drawn} == {top}
    assert all(len(figures[0]["mixture"]["weights"]) == 8 for figures in drawn)


def test_opening_shows_the_last_step_and_sliding_another(folder):
    _run, body, _question, message, frames, layer, step, strip, view, _ = training.open_run(
        str(folder)
    )
    assert "trains on 40 images." in message
    assert body.visible
    assert [value for _, value in layer.choices] == [0, 1, 2]
    assert step.value == 2
    assert "Step <b>100</b>" in view
    assert strip.count("data-pick") == 3
    assert "Step <b>0</b>" in training.slide(frames, 0, 0)[1]
    assert training.take_step(clicked(1), frames, 0, 0)[0] == 1
    assert training.take_step(clicked(9), frames, 0, 0) == (gr.skip(),) * 4


def test_a_question_of_a_file_is_escaped(folder):
    run = TrainingRun.read(folder)
    view = training.choose_question(run, 1, 0)[-2]
    assert "&lt;b&gt;Where?" in view


def test_a_run_cannot_set_what_it_was_trained_on(folder):
    index = json.loads((folder / "index.json").read_text())
    del index["trained_on"]
    (folder / "index.json").write_text(json.dumps(index))
    assert "trains on" not in training.open_run(str(folder))[3]


def test_a_problem_leaves_what_is_shown(tmp_path):
    *rest, message = training.open_run(str(tmp_path))[:4]
    assert rest == [gr.skip()] * 3
    assert 'role="alert"' in message


@pytest.mark.parametrize(
    ("bundled", "any_folder", "has_panel", "can_type"),
    [(False, False, False, False), (True, False, True, False), (False, True, True, True)],
)
def test_a_public_page_opens_only_its_own_folder(
    folder, tmp_path_factory, bundled, any_folder, has_panel, can_type
):
    assets = tmp_path_factory.mktemp("assets")
    if bundled:
        (assets / "training-traces").symlink_to(folder)
    demo = build_demo(FakeSession(), assets=assets, model_box=any_folder)
    named = {getattr(b, "elem_id", ""): b for b in demo.blocks.values()}
    assert ("training" in named) is has_panel
    if has_panel:
        assert bool(named["training-folder"].visible) is can_type


def test_the_bundled_training_makes_a_wrong_answer_right():
    """The bundled traces must show a gain; record them again with ``--trace_steps``."""
    recorded = TrainingRun.read(Path(__file__).parents[3] / "assets" / "training-traces")
    learned = []
    for index, question in enumerate(recorded.questions):
        first, *_, last = recorded.frames(index)
        before, after = (frame.traces["vif"].answer for frame in (first, last))
        right = [is_correct(answer, question["answer"]) for answer in (before, after)]
        learned.append(right == [False, True])
    assert any(learned)
