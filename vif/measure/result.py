"""Curves of one model over one data set, as they are kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vif.errors import InputError
from vif.extras import need

FORMAT, KIND = 1, "vif attenuation"
NAME = "attenuation"
# 32 layers, 30 methods and 5 lengths of text take about 10 MB.
MOST_BYTES = 32_000_000
_CURVES = ("mean", "low", "high", "median", "q25", "q75")

_Name = Annotated[str, Field(max_length=300)]
_Values = Annotated[list[float | None], Field(min_length=1, max_length=1000)]


class _Checked(BaseModel):
    """Part of a file: strict types, finite numbers; unknown fields are allowed."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Entry(_Checked):
    method: _Name
    metric: _Name
    text: int | None
    tokens: Literal["first", "all"]
    text_tokens: _Name
    n: int
    images: int
    mean: _Values
    low: _Values
    high: _Values
    median: _Values
    q25: _Values
    q75: _Values


class _Data(_Checked):
    name: _Name
    questions: int
    sha256: _Name


class _Provenance(_Checked):
    model: _Name
    adapter: _Name | None
    methods: dict[_Name, Any]
    data: _Data


class _Skipped(_Checked):
    where: str
    why: str


class _File(_Checked):
    kind: Literal["vif attenuation"]
    format: Literal[1]
    num_layers: Annotated[int, Field(ge=1, le=1000)]
    provenance: _Provenance
    entries: Annotated[list[_Entry], Field(min_length=1)]
    skipped: list[_Skipped]

    @model_validator(mode="after")
    def _curves_have_all_layers(self) -> _File:
        for entry in self.entries:
            lengths = {len(getattr(entry, name)) for name in _CURVES}
            if lengths not in ({1}, {self.num_layers}):
                raise ValueError(
                    f"a curve of {entry.metric} does not have {self.num_layers} layers"
                )
        return self


@dataclass(frozen=True)
class MeasuredCurves:
    """Curves of one model over one data set.

    Attributes:
        provenance: Where they are from; see `provenance`.
        num_layers: L.
        entries: Of `vif.measure.summarise`.
        skipped: What could not be read or asked, ``{"where", "why"}`` each.
    """

    provenance: dict[str, Any]
    num_layers: int
    entries: list[dict[str, Any]]
    skipped: list[dict[str, str]]

    @property
    def model(self) -> str:
        """The model's name."""
        return self.provenance["model"]

    @classmethod
    def load(cls, path: str | Path, called: str | None = None) -> MeasuredCurves:
        """Reads a file that `write` made, or the one in a folder. The file may be a stranger's.

        Args:
            path: The file or the folder.
            called: How the message names it; the path by default.

        Raises:
            InputError: If it is no such file: one sentence, whatever is wrong with it.
        """
        path = Path(path)
        path = path / f"{NAME}.json" if path.is_dir() else path
        try:
            found = _read(path)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"{called or path} is not a result of 'vif attenuation' ({_why(error)}): give the "
                f"{NAME}.json that this command wrote."
            ) from None
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})

    def frame(self) -> Any:
        """A pandas table: a line per curve and layer, -1 for what belongs to no layer."""
        rows = [{"model": self.model} | row for entry in self.entries for row in _rows(entry)]
        return need("pandas", "app").DataFrame(rows)


def _read(path: Path) -> dict[str, Any]:
    """The content of a file, checked."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 10**6} MB")
    found = json.loads(path.read_text(encoding="utf-8"))
    _File.model_validate(found)
    return found


def _why(error: Exception) -> str:
    """What is wrong with a file, in a few words."""
    match error:
        case ValidationError():
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            words = first["msg"].removeprefix("Value error, ")
            return f"{place}: {words}" if place else words
        case OSError():
            return error.strerror or "it cannot be read"
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError() | json.JSONDecodeError():
            return "it is not JSON"
    return str(error)


def _rows(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    plain = {key: value for key, value in entry.items() if key not in _CURVES}
    by_layer = len(entry["mean"]) > 1
    return [
        plain
        | {"layer": layer if by_layer else -1}
        | {name: entry[name][layer] for name in _CURVES}
        for layer in range(len(entry["mean"]))
    ]
