"""The lessons: their text agrees with what the bundled model shows."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import vif
from vif import bench, metrics
from vif.beliefs.posterior import beliefs
from vif.errors import InputError
from vif.probes import attenuation_ladder
from vif.scenes import is_correct
from vif.ui.features.lessons import after_html, head_html, take_mark
from vif.ui.lessons import STEPS, Classroom, prepare, reveal, sheet
from vif.ui.lessons.room import example_of, question_of
from vif.ui.state.examples import read_examples

ROOT = Path(__file__).parents[3]
ASSETS = ROOT / "assets"
MARK = (0.1, 0.1, 0.6, 0.6)


@pytest.fixture(scope="module")
def room():
    session = vif.load(ASSETS / "demo-vlm", ASSETS / "demo-vif")
    entry = bench.results_without_text(ASSETS / "results" / "bench.json")
    return Classroom(session, read_examples(ASSETS / "examples"), entry, MARK)


@pytest.fixture(scope="module")
def shown(room):
    return {step.number: reveal(step, room) for step in STEPS}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.title)
def test_the_shipped_model_shows_what_the_lesson_is_about(shown, step):
    """A new model must not break a lesson silently: choose new examples, or change the lesson."""
    assert shown[step.number].holds, shown[step.number].saw


def test_the_plain_answer_is_the_models_own(room, shown):
    example = example_of(STEPS[1], room.examples)
    trace = room.session.ask(question_of(example), methods=["plain"], max_new_tokens=8)["plain"]
    covered = metrics.box_coverage(trace.cells, example.truth.boxes)
    look = trace.rows[0].mean((0, 1))
    told = f"The model answers {trace.answer}, but the answer is {example.truth.answer}. "
    told += f"{100 * float(look @ covered / look.sum()):.1f} %"
    assert shown[2].saw.startswith(told)


def test_the_ladder_counts_right_answers(room, shown):
    example = example_of(STEPS[3], room.examples)
    ladder = attenuation_ladder(room.session, question_of(example))
    right = [sum(said == example.truth.answer for said in line) for line in ladder.said]
    assert f"It is right at {right[0]} of 7 lengths, VIF at {right[1]}." in shown[4].saw
    for i, length in enumerate(ladder.lengths):
        assert f'<span data-frame="{i}"' in shown[4].html
        assert f"{length} tokens of text" in shown[4].html


def test_the_posterior_of_the_right_answer_goes_to_the_place(room, shown):
    example = example_of(STEPS[4], room.examples)
    found = beliefs(room.session, question_of(example), [example.truth.answer], samples=0)
    layer = max(found.prior)
    covered = metrics.box_coverage(found.cells, example.truth.boxes) > 0
    share = found.posteriors[0][layer].refined.map[covered].sum()
    assert f"knowing it is {example.truth.answer}, {100 * share:.0f} %" in shown[5].saw
    assert "nats per latent dimension" in shown[5].html


def test_the_benchmarks_numbers_are_the_files(room, shown):
    found = room.bench["methods"]["vif"]
    assert f"VIF fixes {found['fixed']} and breaks {found['broken']}." in shown[7].saw
    for name in room.bench["methods"]:
        accuracy = room.bench["methods"][name]["accuracy"]["all"]
        assert f"<td>{100 * accuracy:.1f} %</td>" in shown[7].html


def test_without_a_benchmark_the_lesson_shows_the_answers(room):
    found = reveal(STEPS[6], replace(room, bench=None))
    assert "benchmark" not in found.saw
    assert "<table" not in found.html


def test_nothing_is_given_away_before_it_is_revealed(room):
    for step in STEPS:
        stage = prepare(step, room)
        example = example_of(step, room.examples)
        assert "vl-true" not in stage
        assert "vl-heat" not in stage
        text = re.sub(r"<[^>]*>|base64,[^\"]*", "", stage).replace(example.question, "")
        assert not is_correct(text.strip(" “”"), example.truth.answer)


def test_every_frame_belongs_to_a_step_of_its_control(shown):
    for found in shown.values():
        frames = {int(n) for n in re.findall(r'data-frame="(\d+)"', found.html)}
        if slider := re.search(r'type="range" min="0" max="(\d+)"', found.html):
            assert frames == set(range(int(slider[1]) + 1))
        elif radios := re.findall(r'type="radio" [^>]*value="(\d+)"', found.html):
            assert frames == set(map(int, radios))
        else:
            assert not frames


def test_a_page_without_the_examples_says_which_is_missing(room):
    with pytest.raises(InputError, match="Lesson 4 needs an example called 'Lost in text'"):
        prepare(STEPS[3], replace(room, examples=[]))


def test_a_model_that_shows_something_else_is_reported(shown):
    found = replace(shown[2], holds=False)
    assert "With this model, the effect" in after_html(STEPS[1], found)
    assert "With this model, the effect" not in after_html(STEPS[1], shown[2])


def test_the_head_of_a_step_does_not_give_the_answer_away(room):
    for step in STEPS:
        head = html.unescape(head_html(step))
        assert step.predict in head
        assert step.notice[0] not in head


@pytest.mark.parametrize(
    "data",
    [None, {}, {"box": "x"}, {"box": [0, 0, 1]}, {"box": [0.5, 0, 0.1, 1]}, {"box": [0, 0, 2, 1]},
     {"box": [float("nan")] * 4}, {"box": [True, 0, 1, 1]}],
)  # fmt: skip
def test_an_invalid_mark_is_ignored(data):
    assert take_mark(SimpleNamespace(_data=data)) is None


def test_a_mark_is_a_box():
    assert take_mark(SimpleNamespace(_data={"box": [0, 0.25, 0.5, 1]})) == (0, 0.25, 0.5, 1)


def test_the_printed_sheet_is_the_lessons():
    """After a change: python -m vif.ui.lessons > docs/lessons.md."""
    assert (ROOT / "docs" / "lessons.md").read_text() == sheet()
    assert [step.number for step in STEPS] == list(range(1, len(STEPS) + 1))


def test_the_lessons_examples_are_among_the_shipped_ones():
    listing = json.loads((ASSETS / "examples" / "examples.json").read_text())
    assert {step.example for step in STEPS} <= {entry["label"] for entry in listing}
