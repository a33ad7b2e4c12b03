"""Makes typed text safe for a prompt. Independent of tokenizers and chat templates."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from vif.errors import InputError

MAX_CHARACTERS = 2000
MAX_CONTEXT_CHARACTERS = 8000

# Format characters that reorder or hide text. The joiners (U+200C, U+200D) stay: scripts and emoji
# are spelled with them.
_INVISIBLE = frozenset("\u200b\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean_context(text: str | None, special_tokens: Iterable[str] = ()) -> str:
    """Returns text to put before a question, made safe like the question; it may be empty.

    Raises:
        InputError: More than ``MAX_CONTEXT_CHARACTERS`` characters.
    """
    context = _without_controls(text or "").strip()
    if len(context) > MAX_CONTEXT_CHARACTERS:
        raise InputError(
            f"The text before the question has {len(context):,} characters, expected at most "
            f"{MAX_CONTEXT_CHARACTERS:,}: shorten it."
        )
    return _without_special_tokens(context, special_tokens).strip()


def clean_question(text: str | None, special_tokens: Iterable[str] = ()) -> str:
    """Returns the question as it may enter a prompt.

    Args:
        text: What was typed; None counts as nothing.
        special_tokens: The model's own special tokens, e.g. ``"<image>"``. One that was typed is
            broken apart, so that the tokenizer reads plain text.

    Returns:
        The question without surrounding blanks and control characters, line breaks kept;
        none of the special tokens occurs in it.

    Raises:
        InputError: Nothing to read is left, or more than ``MAX_CHARACTERS`` characters.
    """
    question = _without_controls(text or "").strip()
    if len(question) > MAX_CHARACTERS:
        raise InputError(
            f"The question has {len(question):,} characters, expected at most "
            f"{MAX_CHARACTERS:,}: shorten it."
        )
    question = _without_special_tokens(question, special_tokens).strip()
    if not question:
        raise InputError(
            "Type a question about the image, for example 'What colour is the smallest circle?'."
        )
    return question


def _without_controls(text: str) -> str:
    """Returns the text with its line breaks, a space for a tab, and no other control character."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    # Cs: half of a surrogate pair cannot be encoded, and a tokenizer raises on it.
    return "".join(
        char
        for char in text
        if char == "\n" or not (char in _INVISIBLE or unicodedata.category(char) in ("Cc", "Cs"))
    )


def _without_special_tokens(text: str, special_tokens: Iterable[str]) -> str:
    """Returns the text with a space after the first character of every special token in it."""
    tokens = sorted({token.strip() for token in special_tokens} - {""})
    # Breaking one token apart can spell another. Every pass only adds spaces, so this ends.
    while found := [token for token in tokens if token in text]:
        for token in found:
            text = text.replace(token, f"{token[0]} {token[1:]}" if len(token) > 1 else " ")
    return text
