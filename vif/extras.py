"""Libraries that only some uses need: imported when they are, with the cure if they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from vif.errors import InputError


def need(module: str, extra: str) -> Any:
    """A module that is, or needs, an optional library.

    Args:
        module: Its name.
        extra: The extra of this package that installs what it needs.

    Raises:
        InputError: If something it needs is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or module).split(".")[0]
        raise InputError(
            f"This needs {missing}, which is not installed: run pip install 'vif-lens[{extra}]'."
        ) from error
