"""The one error a person may meet. Knows nothing about how it is shown."""

from __future__ import annotations


class InputError(ValueError):
    """What a person gave cannot be used.

    The message is one sentence, fit to be shown as it is: what was given, what was expected, and
    what to do about it.
    """
