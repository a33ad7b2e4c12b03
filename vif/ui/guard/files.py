"""Checks the files that a request names: only those in the upload cache are accepted.

Gradio 6.31 checks files that say that they are one (``meta``), and follows links and URLs.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.utils import get_upload_folder

from vif.errors import InputError

# One sentence for all, so that nobody learns what exists outside the upload cache.
NOT_UPLOADED = "This is not a file that was uploaded here: upload it, then try again."


def check_files(fn: BlockFunction, inputs: list[Any], event: gr.EventData | None = None) -> None:
    """Raises `InputError` if anything that a request brings names a file that was not uploaded."""
    folder = Path(get_upload_folder()).resolve()
    for component, value in zip(fn.inputs, inputs, strict=False):
        takes_files = _takes_files(getattr(component, "data_model", None))
        if takes_files and not isinstance(value, dict | list | None):
            _refuse()
        _check(value, folder, takes_files)
    if event is not None:
        _check(event._data, folder)


def is_uploaded(path: Any, folder: Path) -> bool:
    """Whether a path is a file in a folder, after symbolic links are followed.

    Args:
        path: Anything that a request holds.
        folder: The upload cache, resolved.
    """
    try:
        found = Path(path).resolve(strict=True)
        return found.is_file() and found.is_relative_to(folder)
    except (OSError, RuntimeError, TypeError, ValueError):
        return False


def _check(value: Any, folder: Path, takes_files: bool = False) -> None:
    """Refuses every file in nested lists and dictionaries that was not uploaded."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if _names_file(one, takes_files) and not is_uploaded(one.get("path"), folder):
                _refuse()
            left += one.values()
        elif isinstance(one, list | tuple):
            left += one


def _names_file(value: dict[Any, Any], takes_files: bool) -> bool:
    """Whether a dictionary means a file, to Gradio or to its component."""
    meta = value.get("meta")
    is_marked = isinstance(meta, dict) and meta.get("_type") == "gradio.FileData"
    is_file = value.get("path") is not None or value.get("url") is not None
    return is_marked or (takes_files and is_file) or isinstance(value.get("path"), str)


@cache
def _takes_files(model: Any) -> bool:
    """Whether the values of a component contain paths."""
    return model is not None and '"path"' in str(model.model_json_schema()).replace("'", '"')


def _refuse() -> None:
    raise InputError(NOT_UPLOADED)
