"""Files of a result, to look at it again without the model. Knows nothing about Gradio."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from vif.draw import render
from vif.report import as_json
from vif.ui.state.result import MAP_SIDE, Result
from vif.ui.state.view import View

PALETTE = "viridis"


def save_files(result: Result, view: View, folder: Path) -> list[str]:
    """Writes everything needed to look at a result again without the model into a folder.

    Returns:
        Paths: one ``.npz`` per answer, ``answers.json``, ``picture.png`` and ``redraw.py``.
    """
    paths = []
    for name, trace in result.traces.items():
        paths.append(folder / f"{name}.npz")
        trace.save(paths[-1])
    answers = folder / "answers.json"
    answers.write_text(json.dumps(as_json(result.traces), indent=2), encoding="utf-8")
    picture = folder / "picture.png"
    Image.fromarray(result.picture).save(picture)
    redraw = folder / "redraw.py"
    redraw.write_text(redraw_script(result, view), encoding="utf-8")
    return [str(path) for path in (*paths, answers, picture, redraw)]


def redraw_script(result: Result, view: View) -> str:
    """Returns a program that draws the shown heatmap again from the saved files."""
    name = result.others[0] if result.others else result.baseline
    trace = result.traces[name]
    at = min(view.token, len(trace.tokens) - 1)
    layer = None if view.layer is None else trace.nearest_layer(view.layer)
    sinks = np.flatnonzero(result.sinks(name, at)).tolist() if view.show == "removed" else []
    without = f"values[{sinks}] = 0  # sinks\n" if sinks else ""
    shares = "values /= values.sum()\n" if view.normalised else ""
    return f"""import numpy as np
from PIL import Image

from vif.draw import render
from vif.trace import Trace

trace = Trace.load("{name}.npz")
picture = render.fit(Image.open("picture.png"), {MAP_SIDE})
values = render.pick_map(
    trace.rows, token={at}, layer={layer}, head={view.head!r}
)
{without}{shares}field = render.paint_scale(
    values, trace.cells, trace.blocks, "{view.scale}", picture.shape[:2]
)
# The largest value of all answers, as on the page.
top = {_top(result, view):.6g}
drawn = render.overlay(picture, field, top, "{PALETTE}", {view.opacity:g})
Image.fromarray(drawn).save("map.png")
"""


def _top(result: Result, view: View) -> float:
    """The largest value of all answers at the shown layer, head and token."""
    found = []
    for name, trace in result.traces.items():
        at = min(view.token, len(trace.tokens) - 1)
        layer = None if view.layer is None else trace.nearest_layer(view.layer)
        values = render.pick_map(trace.rows, at, layer, view.head)
        if view.show == "removed":
            values = np.where(result.sinks(name, at), 0, values)
        if view.normalised:
            values = values / max(values.sum(), 1e-12)
        field = render.paint_scale(
            values, trace.cells, trace.blocks, view.scale, result.picture.shape[:2]
        )
        found.append(np.nanmax(field))
    return float(max(found))
