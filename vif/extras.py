"""Optional libraries, imported when needed; if one is missing, the error says how to install it."""

from __future__ import annotations

import importlib
from typing import Any

from vif.errors import InputError


def need(module: str, extra: str) -> Any:
    """Imports a module that is, or needs, an optional library.

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
