"""Where the records of a JSON file lie in it: a file may be larger than the memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vif.errors import InputError

CHUNK = 1 << 22  # of a list that is read piece by piece, in bytes
_BETWEEN = re.compile(r"[\s,]*")
# Start and end in bytes, and the value.
Span = tuple[int, int, Any]


def scan(path: Path) -> Iterator[Span]:
    """Every record of a JSON list or of JSON lines, read piece by piece.

    Raises:
        InputError: If the file is neither.
    """
    with path.open("rb") as file:
        first = file.read(1)
        while first.isspace():
            first = file.read(1)
    yield from (_scan_list if first == b"[" else _scan_lines)(path)


def _scan_lines(path: Path) -> Iterator[Span]:
    with path.open("rb") as file:
        start = 0
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield start, start + len(line), json.loads(line)
                except ValueError as error:
                    raise InputError(
                        f"Line {number} of {path} is not JSON ({error}): correct or remove it."
                    ) from error
            start += len(line)


def _scan_list(path: Path) -> Iterator[Span]:
    decoder, utf8 = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")()
    # The bytes that were read but not parsed yet, and where in the file they begin.
    text, at = "", 0
    with path.open("rb") as file:

        def read_on(begin: int) -> bool:
            """Drops the bytes before `begin` and reads another piece; False at the end."""
            nonlocal text, at
            chunk = file.read(CHUNK)
            at += len(text[:begin].encode())
            text = text[begin:] + utf8.decode(chunk, final=not chunk)
            return bool(chunk)

        try:
            read_on(0)
            begin = text.index("[") + 1
            while True:
                between = _BETWEEN.match(text, begin)
                begin = between.end() if between else begin
                if text[begin : begin + 1] == "]":
                    return
                try:
                    value, end = decoder.raw_decode(text, begin)
                    is_whole = end < len(text)
                except ValueError:
                    is_whole, end = False, begin
                if not is_whole:
                    # Either cut off or broken; reading on shows which.
                    if not read_on(begin):
                        decoder.raw_decode(text, 0)
                        raise ValueError("it does not end with ]")
                    begin = 0
                    continue
                start = at + len(text[:begin].encode())
                size = len(text[begin:end].encode())
                yield start, start + size, value
                begin = end
        except ValueError as error:
            message = f"{path} is not a JSON list ({error}): correct it or write it again."
            raise InputError(message) from error
