"""The answers of one question by several methods: a dictionary that notebooks can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vif import metrics
from vif.extras import need
from vif.trace import Trace


class Traces(dict[str, Trace]):
    """One trace per method, in the order asked for."""

    def to_frame(self) -> Any:
        """Tables of all methods, one below another; see `Trace.to_frame`."""
        frames = [trace.to_frame() for trace in self.values()]
        return need("pandas", "app").concat(frames, ignore_index=True)

    def to_xarray(self) -> Any:
        """`Trace.to_xarray` of all methods along a dimension ``method_name``.

        ``sel`` has an argument called ``method``, hence the longer name. Answers of different
        length are filled with NaN.
        """
        xarray, pandas = need("xarray", "notebook"), need("pandas", "app")
        found = [trace.to_xarray().drop_vars("text") for trace in self.values()]
        names = pandas.Index(list(self), name="method_name")
        # A method may look at another picture, a crop: its tokens lie elsewhere.
        return xarray.concat(
            found, names, data_vars="all", join="outer", combine_attrs="drop_conflicts"
        )

    def plot(self, token: int = 0) -> Any:
        """How much and how widely every layer looks at the image, a curve per method."""
        return need("vif.charts.curves", "app").attenuation(
            {name: metrics.image_share(trace, token) for name, trace in self.items()},
            {name: metrics.visual_entropy(trace, token) for name, trace in self.items()},
        )

    def _repr_html_(self) -> str:
        return "".join(trace._repr_html_() for trace in self.values())

    @classmethod
    def of(cls, found: Mapping[str, list[Trace]], picture: np.ndarray) -> Traces:
        """Takes the traces of a single question out of what `Session.ask_batch` returns.

        Args:
            found: One trace per method.
            picture: The image, (H, W, 3) uint8, for notebooks.
        """
        return cls({name: replace(one, picture=picture) for name, (one,) in found.items()})
