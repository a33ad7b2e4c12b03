"""Requests are read correctly, or refused in one sentence."""

import math

import pytest

from vif.errors import InputError
from vif.inputs.schema import (
    MOST_BOXES,
    MOST_METHODS,
    MOST_TOKENS,
    PublicQuestionInput,
    QuestionInput,
    SettingsInput,
    shortened,
)
from vif.settings import Settings

GOOD = {"question": "What is this?", "methods": ["plain"]}
LARGEST = {
    "question": "?" * 2000,
    "context": "?" * 8000,
    "methods": ["plain"] * MOST_METHODS,
    "learning_start": 0.0,
    "learning_end": 4,
    "injection_start": 5,
    "injection_end": 7.0,
    "stride": 1,
    "alpha": 1,
    "samples": 64,
    "seed": 2**63 - 1,
    "max_new_tokens": MOST_TOKENS,
    "phase": "prefill",
    "options": {"pai": {"alpha": 0.3}},
    "look": [[0, 0, 1, 0.5]] * MOST_BOXES,
}


def refusal(schema=PublicQuestionInput, **changes):
    with pytest.raises(InputError) as caught:
        schema.read({**GOOD, **changes})
    return str(caught.value)


def test_the_largest_of_everything_is_read():
    asked = PublicQuestionInput.read(LARGEST)
    found = Settings(**asked.settings())
    assert (found.learning, found.injection) == ((0, 4), (5, 7))
    assert all(type(end) is int for end in (*found.learning, *found.injection))
    assert (found.alpha, found.phase, found.options) == (1.0, "prefill", {"pai": {"alpha": 0.3}})
    assert asked.boxes[0] == (0, 0, 1, 0.5)


def test_what_is_left_out_stays_the_session_s_own():
    assert PublicQuestionInput.read(GOOD).settings() == {}
    own = Settings(learning=(11, 17))
    assert SettingsInput.read({"learning_end": 12}).settings(own) == {"learning": (11, 12)}


def test_a_single_visitor_may_ask_for_more():
    QuestionInput.read({**GOOD, "methods": ["plain"] * 5, "max_new_tokens": 4096})
    assert "1 to 4,096" in refusal(QuestionInput, max_new_tokens=4097)


NO_NUMBERS = ["1", None, [], [1], {}, True, math.nan, math.inf, -math.inf, 1e30, -1, 10**30]


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0.5], ids=repr)
@pytest.mark.parametrize(
    "name", ["learning_start", "injection_end", "stride", "samples", "max_new_tokens", "seed"]
)
def test_what_is_not_a_whole_number_is_refused(name, value):
    words = refusal(**{name: value})
    if name == "seed" and value == 1e30:
        assert "9,223,372,036,854,775,807" in words
    assert f"({name}) is {shortened(value)}, expected a whole number from" in words
    assert words.endswith(("fill it in.", "change it."))


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_not_a_share_is_refused(value):
    assert f"(alpha) is {shortened(value)}, expected a number from 0 to 1" in refusal(alpha=value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("methods", "plain", "is 'plain', expected a list of 1 to 4 names"),
        ("methods", [], "is []"),
        ("methods", ["plain"] * 5, "expected a list of 1 to 4 names"),
        ("methods", 5, "is 5"),
        ("methods", None, "is empty"),
        ("methods", [["plain"]], "(methods[0]) is ['plain']"),
        ("methods", [None], "(methods[0]) is empty"),
        ("methods", ["m" * 5000], "mmm"),
        ("options", [], "is []"),
        ("options", {"pai": 0.3}, "(options['pai']) is 0.3"),
        ("options", {"pai": {"alpha": "0.3"}}, "(options['pai']['alpha']) is '0.3'"),
        ("options", {"pai": {"alpha": math.nan}}, "is nan"),
        ("look", [[0, 0, 1]], "(look[0]) is [0, 0, 1], expected at most 200 boxes"),
        ("look", [[0, 0, 1, 2]], "(look[0][3]) is 2"),
        ("look", [[0, 0, 1, 1]] * 100_000, "expected at most 200 boxes"),
        ("look", "all", "is 'all'"),
        ("question", 5, "is 5, expected a text"),
        ("question", None, "is empty"),
        ("question", "q" * 2001, "has 2,001 characters, expected a text of 1 to 2,000"),
        ("context", ["text"], "is ['text']"),
        ("phase", "late", "expected both or prefill"),
        ("temperature", 1, "There is no setting 'temperature'"),
        ("x" * 5000, 1, "There is no setting 'xxx"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_every_other_field_refuses_wrong_values(name, value, words):
    found = refusal(**{name: value})
    assert words in found
    assert len(found) < 400


def test_a_question_is_needed():
    with pytest.raises(InputError, match=r"The question \(question\) is missing, expected a text"):
        PublicQuestionInput.read({"methods": ["plain"]})
