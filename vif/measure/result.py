"""Curves of one model over one data set, as they are kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vif.errors import InputError
from vif.extras import need

FORMAT, KIND = 1, "vif attenuation"
NAME = "attenuation"


@dataclass(frozen=True)
class Result:
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
    def load(cls, path: str | Path) -> Result:
        """Reads a file that `write` made, or the one in a folder.

        Raises:
            InputError: If it is no such file.
        """
        path = Path(path)
        path = path / f"{NAME}.json" if path.is_dir() else path
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as JSON ({error}).") from None
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise InputError(f"{path} was not written by 'vif attenuation': give its .json file.")
        if found["format"] != FORMAT:
            raise InputError(
                f"{path} has format {found['format']}, expected {FORMAT}: measure once more."
            )
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})

    def frame(self) -> Any:
        """A pandas table: a line per curve and layer, -1 for what belongs to no layer."""
        rows = [{"model": self.model} | row for entry in self.entries for row in _rows(entry)]
        return need("pandas", "app").DataFrame(rows)


_CURVES = ("mean", "low", "high", "median", "q25", "q75")


def _rows(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    plain = {key: value for key, value in entry.items() if key not in _CURVES}
    by_layer = len(entry["mean"]) > 1
    return [
        plain
        | {"layer": layer if by_layer else -1}
        | {name: entry[name][layer] for name in _CURVES}
        for layer in range(len(entry["mean"]))
    ]
