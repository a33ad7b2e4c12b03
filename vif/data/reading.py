"""Recognises the kind of a data source and reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vif.data.example import DataSet
from vif.data.folder import read_folder
from vif.data.hub import read_hub
from vif.data.jsonl import read_jsonl
from vif.data.llava import read_json
from vif.data.refcoco import is_refcoco, read_refcoco
from vif.data.scenes import read_scenes
from vif.errors import InputError
from vif.scenes import ask_boxes

SCENES, SCENE_BOXES = "scenes", "scene-boxes"
_FILES = {".json": read_json, ".jsonl": read_jsonl}


def read(
    source: str | Path = SCENES,
    *,
    number: int = 500,
    seed: int = 0,
    image_folder: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    question: str | None = None,
    split: str = "test",
) -> DataSet:
    """Reads questions from any of the supported formats.

    Args:
        source: A folder of images, a ``.json`` (LLaVA) or ``.jsonl`` file, a folder of RefCOCO's
            files, the name of a data set on the Hugging Face Hub, or ``"scenes"`` for generated
            ones, ``"scene-boxes"`` for such whose answer is a box.
        number: How many scenes' questions; other sources are read whole, see `sample`.
        seed: Of the scenes.
        image_folder: Where relative image paths begin, the file's own folder by default.
        columns: Other names for the fields, e.g. ``{"question": "query"}``.
        question: Asked where the data have none.
        split: Of scenes and of data sets from the Hub.

    Raises:
        InputError: If nothing can be read from there, or nothing of it can be used.
    """
    columns = columns or {}
    path = Path(source)
    if str(source) == SCENES:
        return read_scenes(number, seed, split)
    if str(source) == SCENE_BOXES:
        return read_scenes(number, seed, split, ask_boxes, SCENE_BOXES)
    if path.is_dir() and is_refcoco(path):
        return read_refcoco(path, Path(image_folder) if image_folder else None, split)
    if path.is_dir():
        return read_folder(path, question)
    if path.suffix in _FILES:
        if not path.is_file():
            raise InputError(f"There is no file {str(path)!r}: check the path.")
        folder = Path(image_folder) if image_folder else path.parent
        data = _FILES[path.suffix](path, folder, columns, question)
    else:
        data = read_hub(str(source), split, columns, question)
    if not data.examples:
        reasons = "".join(f"; {s.where}: {s.why}" for s in data.skipped[:3])
        raise InputError(f"{str(source)!r} contains no usable question{reasons}.")
    return data
