"""A folder of images, all asked the same question."""

from __future__ import annotations

from pathlib import Path

from vif.data.example import DataSet, Example
from vif.errors import InputError

# Asked about every picture without a question of its own.
QUESTION = "What is in this picture?"
_SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip


def read_folder(folder: Path, question: str | None = None) -> DataSet:
    """Reads a folder and those in it, in alphabetical order.

    Args:
        folder: The folder.
        question: What is asked about every image, `QUESTION` by default.

    Raises:
        InputError: If there is no image in it.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not paths:
        raise InputError(f"There is no image in the folder {str(folder)!r}: expected PNG or JPEG.")
    names = [str(path.relative_to(folder)) for path in paths]
    examples = [
        Example(name=name, image=path, question=question or QUESTION, source=name)
        for name, path in zip(names, paths, strict=True)
    ]
    return DataSet(str(folder), "folder", examples)
