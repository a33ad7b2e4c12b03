"""The ladders shown first must agree with the page: more text, less of the answer.

The criteria are those that `training.reproduce.choose_examples` chooses examples by.
"""

from pathlib import Path

import pytest

import vif
from training.reproduce.choose_examples import KINDS, LONG_TEXT, restores_answer
from vif.probes import attenuation_ladder
from vif.ui.lessons.room import question_of
from vif.ui.state.examples import read_examples

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def shipped():
    return vif.load(ASSETS / "demo-vlm", ASSETS / "demo-vif")


@pytest.fixture(scope="module")
def examples():
    return {example.label: example for example in read_examples(ASSETS / "examples")}


def test_there_is_an_example_of_every_kind_and_the_first_is_one_that_vif_fixes(examples):
    assert list(examples) == [kind.label for kind in KINDS]
    assert next(iter(examples)) == "Fixed by VIF"


@pytest.mark.parametrize("label", [kind.label for kind in KINDS if kind.steady])
def test_text_only_takes_from_an_example_and_vif_gives_back(shipped, examples, label):
    """The first example is the page's default; the other is the ladder's lesson."""
    assert restores_answer(attenuation_ladder(shipped, question_of(examples[label])))


def test_an_answer_lost_in_text_was_right_without_it(shipped, examples):
    example = examples["Lost in text"]
    found = attenuation_ladder(shipped, question_of(example), lengths=(0, LONG_TEXT))
    right = [[said == found.answer for said in line] for line in found.said]
    assert example.text == LONG_TEXT
    assert right == [[True, False], [True, True]]
