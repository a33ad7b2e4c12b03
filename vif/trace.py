"""The record of one answer as arrays that can be saved, sent and compared.

Knows nothing about models or attention functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vif.draw.notebook import answer_html
from vif.extras import need

# The image that maps are of and what else a prompt holds; the last is 0 for a prompt of one image.
MASS_PARTS = ("image", "question", "answer", "other", "other images")
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Mixture:
    """What was injected into one layer: a Gaussian mixture over the image and the map it makes.

    Attributes:
        layer: Injection layer, 0-based.
        source: Learning layer it was read from, the first if from several, or -1 for a map that
            was given.
        means: Component means (x, y), (K, 2), in [0, 1] image coordinates; (0, 2) for a map that
            is not a mixture.
        sigmas: Standard deviations, (K,), > 0, in [0, 1] image coordinates: a share of the
            width along x, of the height along y.
        weights: Component weights, (K,), sum to 1.
        map: Injected weight of every image token, (N,), sums to 1.
        strength: Share of each head's attention that was replaced by the map, (H,), in [0, 1].
        spread: Standard deviation of the map over latent samples, (N,); zeros for the mean latent.
    """

    layer: int
    source: int
    means: np.ndarray
    sigmas: np.ndarray
    weights: np.ndarray
    map: np.ndarray
    strength: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class Trace:
    """One question answered by one method.

    T generated tokens (the end token included), L layers, H heads, N image tokens.

    Attributes:
        method: Name of the method, e.g. ``"plain"`` or ``"vif"``.
        answer: The decoded answer without special tokens.
        tokens: The generated tokens as text, length T.
        logprobs: Log-probability of each generated token, (T,), natural log.
        rows: Attention of the row that predicts each token to each image token, (T, L, H, N);
            a row sums to at most 1. NaN for layers that have no attention.
        mass: Share of that row on image / question / earlier answer / everything else / other
            images, (T, L, H, 5), sums to 1; NaN as in `rows`.
        centres: Token centres (x, y), (N, 2), in [0, 1] image coordinates, NaN where a token is
            not on the image (newline and padding tokens).
        cells: Rectangle of each token (x0, y0, x1, y1), (N, 4), same coordinates and NaN rule.
        blocks: Which grid a token belongs to, (N,); 0 is the whole image.
        mixtures: One entry per injection layer; empty for methods that inject nothing.
        alternatives: For each generated token the most likely candidates, best first:
            ``[(text, probability), ...]``, length T.
        meta: The origin of the numbers: ``model``, ``dtype``,
            ``question``, ``context``, ``learning``, ``injection``, ``alpha``, ``seed``,
            ``seconds``, ``prompt_tokens``. JSON values only.
        picture: The image, (H, W, 3) uint8, for notebooks; it is not saved.
    """

    method: str
    answer: str
    tokens: list[str]
    logprobs: np.ndarray
    rows: np.ndarray
    mass: np.ndarray
    centres: np.ndarray
    cells: np.ndarray
    blocks: np.ndarray
    mixtures: list[Mixture] = field(default_factory=list)
    alternatives: list[list[tuple[str, float]]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    picture: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def num_layers(self) -> int:
        """Number of decoder layers L."""
        return self.rows.shape[1]

    @property
    def attention_layers(self) -> np.ndarray:
        """Layers that have attention, in order."""
        return np.flatnonzero(~np.isnan(self.mass[0, :, 0, 0]))

    def nearest_layer(self, layer: int) -> int:
        """The layer with attention that lies nearest to a layer."""
        known = self.attention_layers
        return int(known[np.abs(known - layer).argmin()])

    @property
    def num_heads(self) -> int:
        """Number of attention heads H."""
        return self.rows.shape[2]

    def save(self, path: str | Path | BinaryIO) -> None:
        """Writes the trace as a compressed ``.npz`` without pickle.

        Args:
            path: File to write, an existing one is replaced; or an open file.
        """
        header = {
            "version": FORMAT_VERSION,
            "method": self.method,
            "answer": self.answer,
            "tokens": self.tokens,
            "alternatives": self.alternatives,
            "meta": self.meta,
            "mixtures": [{"layer": m.layer, "source": m.source} for m in self.mixtures],
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        for i, mixture in enumerate(self.mixtures):
            arrays |= {f"mixture{i}.{name}": getattr(mixture, name) for name in _MIXTURE_ARRAYS}
        arrays["header"] = np.array(json.dumps(header))
        if not isinstance(path, str | Path):
            np.savez_compressed(path, **arrays)
            return
        # A file object keeps NumPy from appending ".npz" to a name the caller chose.
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Reads a trace written by `save`.

        Raises:
            ValueError: If the file is not a trace or comes from another format version.
        """
        with np.load(path, allow_pickle=False) as data:
            return cls.from_arrays(data, str(path))

    @classmethod
    def from_arrays(cls, data: Mapping[str, np.ndarray], name: str) -> Trace:
        """Builds a trace from the arrays that `save` wrote.

        Args:
            data: The arrays of the file by name.
            name: Of the file, for messages.

        Raises:
            ValueError: If it is not a trace or comes from another format version.
        """
        if "header" not in data:
            raise ValueError(f"{name} is not a trace: expected a file written by Trace.save.")
        header = json.loads(str(data["header"]))
        if header["version"] != FORMAT_VERSION:
            raise ValueError(
                f"{name} has trace format {header['version']}, expected {FORMAT_VERSION}: "
                "record the question again with this version."
            )
        mixtures = [
            Mixture(**(item | {name: data[f"mixture{i}.{name}"] for name in _MIXTURE_ARRAYS}))
            for i, item in enumerate(header["mixtures"])
        ]
        return cls(
            method=header["method"],
            answer=header["answer"],
            tokens=header["tokens"],
            alternatives=[[(t, p) for t, p in step] for step in header["alternatives"]],
            meta=header["meta"],
            mixtures=mixtures,
            **{name: data[name] for name in _ARRAYS} | {"mass": _all_parts(data["mass"])},
        )

    def to_frame(self) -> Any:
        """Tabulates how each row distributes its attention: a line per token, layer and head.

        Returns:
            A pandas table with columns ``method``, ``token``, ``text``, ``logprob``, ``layer``,
            ``head`` and a share per part, see `MASS_PARTS`; NaN in layers without attention.
        """
        token, layer, head = (axis.ravel() for axis in np.indices(self.mass.shape[:3]))
        shares = self.mass.reshape(-1, len(MASS_PARTS))
        columns = {
            "method": self.method,
            "token": token,
            "text": np.array(self.tokens, object)[token],
            "logprob": self.logprobs[token],
            "layer": layer,
            "head": head,
        }
        parts = dict(zip(MASS_PARTS, shares.T, strict=True))
        return need("pandas", "app").DataFrame(columns | parts)

    def to_xarray(self) -> Any:
        """All arrays with named axes, an ``xarray.Dataset``; needs the package xarray.

        ``rows`` (token, layer, head, image_token), ``mass`` (token, layer, head, part),
        ``logprob`` (token), and of every image token ``centre`` (image_token, xy), ``cell``
        (image_token, side) and ``block``. The text of a token is a coordinate.
        """
        xarray = need("xarray", "notebook")
        axes = ("token", "layer", "head")
        return xarray.Dataset(
            {
                "rows": ((*axes, "image_token"), self.rows),
                "mass": ((*axes, "part"), self.mass),
                "logprob": ("token", self.logprobs),
                "centre": (("image_token", "xy"), self.centres),
                "cell": (("image_token", "side"), self.cells),
                "block": ("image_token", self.blocks),
            },
            coords={
                "token": np.arange(len(self.tokens)),
                "text": ("token", np.array(self.tokens, object)),
                "layer": np.arange(self.num_layers),
                "head": np.arange(self.num_heads),
                "part": list(MASS_PARTS),
                "xy": ["x", "y"],
                "side": ["x0", "y0", "x1", "y1"],
            },
            attrs={"method": self.method, "answer": self.answer},
        )

    def plot(self, token: int = 0) -> Any:
        """Plots how the row that predicts a token distributes its attention, layer by layer."""
        title = f"{self.method}: {self.answer}"
        parts_chart = need("vif.charts.parts", "app").parts_chart
        shown = slice(len(MASS_PARTS) - ("images" not in self.meta))
        return parts_chart(self.mass[token].mean(1)[:, shown], MASS_PARTS[shown], title)

    def _repr_html_(self) -> str:
        maps = self.rows[0].mean(1) if len(self.rows) else np.zeros((0, len(self.cells)))
        title = f"{self.method}: {self.answer}"
        given = (self.tokens, self.logprobs, maps, self.cells, self.blocks, self.picture)
        return answer_html(title, *given)

    def answer_json(self) -> dict[str, Any]:
        """The answer as JSON values: ``{"text", "tokens", "logprobs"}``."""
        logprobs = [round(float(p), 6) for p in self.logprobs]
        return {"text": self.answer, "tokens": list(self.tokens), "logprobs": logprobs}


def _all_parts(mass: np.ndarray) -> np.ndarray:
    """Shares of every part; traces from before prompts had several images lack the last one."""
    if mass.ndim != 4 or mass.shape[-1] != len(MASS_PARTS) - 1:
        return mass
    none = np.where(np.isnan(mass[..., :1]), np.nan, 0).astype(mass.dtype)
    return np.concatenate([mass, none], -1)


def mixture_json(mixture: Mixture) -> dict[str, Any]:
    """A mixture as JSON values, arrays as nested lists."""
    return {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in asdict(mixture).items()
    }


_ARRAYS = ("logprobs", "rows", "mass", "centres", "cells", "blocks")
_MIXTURE_ARRAYS = ("means", "sigmas", "weights", "map", "strength", "spread")
