"""Turns errors into one sentence for the user; unexpected errors are logged as well."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from vif.errors import InputError
from vif.model.generation import Cancelled
from vif.ui.html.templates import notice

FAILED = "The model stopped with an error. Your input is kept; see the server log."
STOPPED = notice("Stopped.")
# What a model raises when memory, a kernel or a checkpoint fails; PyTorch's own are RuntimeErrors.
_MODEL_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)
_log = logging.getLogger(__name__)
T = TypeVar("T")


def attempt(work: Callable[[], T]) -> tuple[T | None, str]:
    """Returns what `work` gives and an empty message, or None and the sentence to show.

    If it was stopped, both are empty: each place says in its own words what is still shown.
    """
    try:
        return work(), ""
    except Cancelled:
        return None, ""
    except InputError as error:
        return None, notice(str(error), is_problem=True)
    except _MODEL_ERRORS:
        _log.exception("The model stopped with an error.")
        return None, notice(FAILED, is_problem=True)
