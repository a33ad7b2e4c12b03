"""Standard scores, on answers with known marks."""

import pytest

from vif.bench.scoring import check_rule, choice, chosen, exact, rule_of, vqa_soft
from vif.data import Example
from vif.errors import InputError


@pytest.mark.parametrize(
    ("answer", "answers", "marks"),
    [("Red.", ["red"], 1), ("dark  red", ["red", "Dark red"], 1), ("reddish", ["red"], 0)],
)
def test_exact_overlooks_case_spaces_and_the_last_stop(answer, answers, marks):
    assert exact(answer, answers) == marks


@pytest.mark.parametrize(
    ("agree", "marks"),
    # The official evaluation's values for 0, 1, 2, 3 and 4 of ten people.
    [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)],
)
def test_vqa_soft_gives_the_official_marks(agree, marks):
    answers = ["two"] * agree + [f"other {i}" for i in range(10 - agree)]
    assert vqa_soft("2", answers) == pytest.approx(marks)


@pytest.mark.parametrize(
    ("said", "right"),
    [("A dog.", "dog"), ("the Dog", "dog"), ("ten", "10"), ("1,000", "1000"), ("don't", "dont"),
     ("yes, it is", "yes it is"), ("3.5", "3.5")],
)  # fmt: skip
def test_vqa_soft_evens_out_what_the_official_evaluation_does(said, right):
    assert vqa_soft(said, [right]) == 1
    assert vqa_soft(said + " tree", [right]) == 0


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("B", 1), ("b.", 1), ("(B)", 1), ("B. blue", 1), ("B: it is blue", 1), ("Blue.", 1),
        ("The answer is (b)", 1), ("A", 0), ("C", None), ("A blue one", None), ("", None),
        ("Because", None),
    ],
)  # fmt: skip
def test_a_choice_is_named_by_its_letter_or_its_text(answer, index):
    assert chosen(answer, ["red", "blue"]) == index
    assert choice(answer, ["red", "blue"], ["blue"]) == float(index == 1)


def test_the_rule_follows_from_what_is_known():
    def rule(**known):
        return rule_of(Example("x", "x.png", "?", **known))

    assert rule(answers=("a",)) == "exact"
    assert rule(answers=("a", "a", "b")) == "vqa"
    assert rule(answers=("a",), choices=("a", "b")) == "choice"
    assert rule(boxes=((0, 0, 1, 1),)) == "iou"
    with pytest.raises(InputError, match="no answer to compare with"):
        rule()
    with pytest.raises(InputError, match="no choices with an answer"):
        check_rule("choice", Example("x", "x.png", "?", answers=("a",)))
