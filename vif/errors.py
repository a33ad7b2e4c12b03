"""The error that users see, and errors in words. Does not know how they are shown."""

from __future__ import annotations


class InputError(ValueError):
    """Input from a user that cannot be used.

    The message is one sentence, fit to be shown as it is: what was given, what was expected, and
    what to do about it.
    """


def in_words(error: InputError | OSError) -> str:
    """One line for the user: the sentence of an `InputError`, or the file of an `OSError`."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return (
            f"{str(error.filename)!r} cannot be used ({error.strerror}): check that it exists "
            "and can be read and written, or name another."
        )
    return " ".join(str(error).split())
