"""Referring expressions as RefCOCO, RefCOCO+ and RefCOCOg are published: refs and instances."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any, NoReturn

from vif.data.example import DataSet, Example, SkippedEntry
from vif.errors import InputError

INSTANCES = "instances.json"


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dictionaries, numbers and texts, and refuses everything that could run."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def is_refcoco(folder: Path) -> bool:
    """Whether a folder holds such files."""
    return (folder / INSTANCES).is_file() and bool(_refs_files(folder))


def _refs_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("refs*") if p.suffix in (".p", ".pickle", ".json"))


def read_refcoco(folder: Path, images: Path | None, split: str) -> DataSet:
    """Reads one split; every sentence is a question whose answer is the object's box.

    Args:
        folder: Holds ``instances.json`` and ``refs(...).p`` or ``refs....json``.
        images: Folder of the images, ``folder/images`` by default.
        split: For example ``"testA"``.

    Raises:
        InputError: If a file cannot be read or the split is empty.
    """
    references = _read(_refs_files(folder)[0])
    instances = _read(folder / INSTANCES)
    try:
        boxes = {entry["id"]: entry["bbox"] for entry in instances["annotations"]}
        names = {entry["id"]: entry["file_name"] for entry in instances["images"]}
        chosen = [entry for entry in references if entry["split"] == split]
        splits = sorted({entry["split"] for entry in references})
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder} does not contain the files of RefCOCO ({error!r} is missing)."
        ) from None
    if not chosen:
        raise InputError(f"{folder} has no split {split!r}, but {', '.join(splits)}.")
    examples, skipped = [], []
    for entry in chosen:
        where = f"ref {entry.get('ref_id')}"
        try:
            x, y, width, height = boxes[entry["ann_id"]]
            name = names[entry["image_id"]]
            sentences = [sentence["sent"] for sentence in entry["sentences"]]
        except (KeyError, TypeError, ValueError) as error:
            skipped.append(SkippedEntry(where, f"it has no {error}"))
            continue
        path = (images or folder / "images") / name
        if not path.is_file():
            skipped.append(
                SkippedEntry(where, f"its image {name!r} is missing: give --image-folder")
            )
            continue
        box = (x, y, x + width, y + height)
        examples += [
            Example(f"{where} sentence {k}", path, sentence, boxes=(box,), source=name)
            for k, sentence in enumerate(sentences)
        ]
    return DataSet(f"{folder} ({split})", "refcoco", examples, skipped)


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        with path.open("rb") as file:
            # Written by Python 2, whose texts are bytes.
            return _PlainUnpickler(file, encoding="latin1").load()
    except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from None
