"""A typed question reaches the prompt as plain text, or is refused in one sentence."""

import itertools

import pytest

from vif.errors import InputError
from vif.inputs.text import MAX_CHARACTERS, clean_question

SPECIAL = ["<image>", "</s>", "<s>", "<|im_start|>", "<|im_end|>", "[INST]"]


def test_ordinary_question_is_returned_as_typed():
    question = "Which colour is the cup, 'red' or <blue>? Größe: 3×4 👩‍👩‍👧 我"
    assert clean_question(question, SPECIAL) == question


def test_surrounding_blanks_are_removed_and_line_breaks_inside_are_kept():
    assert clean_question("  \n What is it?\r\nA. cup\rB.\tbowl \n") == (
        "What is it?\nA. cup\nB. bowl"
    )


@pytest.mark.parametrize("text", [None, "", "   ", "\n\t\r", "\x00\x07", "\u200b\ufeff", "\ud800"])
def test_nothing_typed_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"^Type a question about the image, for example"):
        clean_question(text)


def test_question_made_of_one_character_special_tokens_is_refused():
    with pytest.raises(InputError, match="Type a question"):
        clean_question("§§", ["§"])


def test_longest_question_is_accepted():
    assert len(clean_question("x" * MAX_CHARACTERS + "   ")) == MAX_CHARACTERS


def test_too_long_question_is_refused_with_both_lengths():
    with pytest.raises(InputError) as caught:
        clean_question("x" * 10_000)
    assert "10,000" in str(caught.value)
    assert "2,000" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_control_and_reordering_characters_are_removed():
    assert clean_question("What\x00 \x1b[31mis\x7f \u202ethis\u2066?\x85") == "What [31mis this?"


def test_half_a_surrogate_pair_is_removed():
    assert clean_question("a\ud83d?").encode() == b"a?"


@pytest.mark.parametrize("token", SPECIAL)
def test_special_token_is_broken_after_its_first_character(token):
    question = clean_question(f"Is {token}{token} here?", SPECIAL)
    assert question == f"Is {token[0]} {token[1:]}{token[0]} {token[1:]} here?"


def test_special_token_hidden_by_a_control_character_is_broken():
    assert clean_question("<im\x00age>", SPECIAL) == "< image>"


def test_question_without_special_tokens_given_is_left_alone():
    assert clean_question("<image>") == "<image>"


@pytest.mark.parametrize(
    "tokens",
    [
        ["<image>", "< image>", "<  image>"],
        ["aa", "aaa", "a a"],
        ["<s>", "s", "<"],
        [" <s>", "<s> ", "  ", "\n", ""],
        ["<<s>>", "<s>"],
    ],
)
def test_no_special_token_remains_however_they_overlap(tokens):
    visible = [token.strip() for token in tokens if token.strip()]
    for parts in itertools.product([*visible, "x"], repeat=3):
        question = clean_question("".join(parts) + "?", tokens)
        assert not [token for token in visible if token in question]
