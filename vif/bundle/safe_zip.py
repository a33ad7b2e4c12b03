"""Zips and arrays from strangers: nothing is unpacked to disk, run, or larger than allowed."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vif.errors import InputError

MOST_FILES = 512
# What damaged and hostile zips make Python's reader raise.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    UnicodeError,
    ValueError,
)


class SafeZip:
    """A zip whose files are read into memory, one by one, within a common budget of bytes.

    Attributes:
        names: Of all files.
        left: Bytes that may still be unpacked.
    """

    def __init__(self, source: str | Path | bytes | BinaryIO, budget: int) -> None:
        """Reads the list of files.

        Args:
            source: Path, bytes or open file.
            budget: Bytes that all files together may have once they are unpacked.

        Raises:
            InputError: If it is not a zip, lists a file twice, too many, or more than the budget.
        """
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        try:
            self._zip = zipfile.ZipFile(stream)
        except OSError as error:
            raise InputError(f"The file cannot be opened: {error.strerror or error}.") from error
        except BROKEN as error:
            raise _not_a_zip() from error
        listed = self._zip.infolist()
        self.names = [entry.filename for entry in listed]
        self.left = budget
        if len(listed) > MOST_FILES:
            raise InputError(
                f"The zip contains {len(listed)} files, expected at most {MOST_FILES}."
            )
        if len(set(self.names)) != len(listed):
            raise InputError("The zip contains a file twice: save it again.")
        if sum(entry.file_size for entry in listed) > budget:
            raise _too_large(budget)

    def read(self, name: str) -> bytes:
        """Returns a file's bytes.

        Raises:
            InputError: If it is missing, encrypted, damaged, or larger than what is left.
        """
        if name not in self.names:
            raise InputError(f"The zip contains no {name}: it was not saved by VIF Lens.")
        try:
            # The size that a zip states is only a claim; what comes out counts.
            with self._zip.open(name) as stream:
                found = stream.read(self.left + 1)
        except (*BROKEN, OSError) as error:
            raise InputError(f"{name} in the zip is damaged: download or save it again.") from error
        if len(found) > self.left:
            raise _too_large(self.left)
        self.left -= len(found)
        return found


def read_arrays(data: bytes, budget: int) -> dict[str, np.ndarray]:
    """Reads an ``.npz`` without pickles; an array takes no more memory than its bytes.

    Raises:
        InputError: If it is something else, damaged, or larger than the budget.
    """
    archive = SafeZip(data, budget)
    return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.names}


def _array(data: bytes) -> np.ndarray:
    """One ``.npy``: numbers or text, never objects, which could run code."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, is_fortran, dtype = header(stream)
        # `np.load` makes room for whatever shape the header claims before it reads.
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "biufU" or size != len(data) - stream.tell():
            raise ValueError("not an array of numbers or text of the size it claims")
        flat = np.frombuffer(data, dtype, offset=stream.tell())
        return flat.reshape(shape, order="F" if is_fortran else "C")
    except (*BROKEN, SyntaxError, TypeError, AttributeError) as error:
        raise InputError("An array in the zip is damaged or of an unsupported type.") from error


def _not_a_zip() -> InputError:
    return InputError("This is not a complete zip file: choose one that VIF Lens saved.")


def _too_large(most: int) -> InputError:
    return InputError(
        f"The zip unpacks to more than {max(most, 1) / 1e6:,.0f} MB, which is not read: save fewer "
        "methods or a shorter answer."
    )
