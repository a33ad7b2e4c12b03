"""Converts between the state of a tab and a bundle. Independent of Gradio and models."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image

from vif import bundle
from vif.charts import figures
from vif.draw import render
from vif.inputs.images import open_image
from vif.settings import Settings
from vif.ui.state.drawing import Drawing
from vif.ui.state.form import Form, Truth
from vif.ui.state.result import Result
from vif.ui.state.view import SHOWS, View

_ONE_OF = (
    "These answers were given to {} images, and a saved result holds the one that was asked about: "
    "Run asks about it alone."
)


def to_bundle(result: Result, view: View, note: str = "") -> bundle.Bundle:
    """Returns a result as a bundle.

    Args:
        result: The answers.
        view: How they are shown.
        note: One sentence on what to see.
    """
    form, truth, meta = result.form, result.truth, result.first.meta
    known = {key: meta.get(key) for key in ("model", "dtype", "adapter")}
    made = datetime.now(UTC).isoformat(timespec="seconds")
    drawing = form.drawing if form is not None else Drawing()
    return bundle.Bundle(
        picture=_picture(result),
        traces=result.traces,
        settings=settings_of(result),
        answer=truth.answer if truth else None,
        boxes=truth.boxes if truth else (),
        note=note,
        view=asdict(view),
        look=None if drawing.is_empty else drawing.as_json(),
        renderer=result.renderer,
        provenance=bundle.provenance(made, **known, text_tokens=result.text_tokens),
    )


def _picture(result: Result) -> Image.Image:
    """The picture of the question; the shown version if the upload no longer exists."""
    try:
        return open_image(result.filled.picture)
    except ValueError:
        return Image.fromarray(result.picture)


def settings_of(result: Result) -> Settings:
    """Returns the settings that the answers were made with."""
    meta = result.first.meta
    known = {key: meta[key] for key in Settings().chosen if key in meta}
    ranges = {key: tuple(known[key]) for key in ("learning", "injection") if key in known}
    # No answer records its maximum length.
    longest = result.form.max_new_tokens if result.form is not None else None
    limit = {} if longest is None else {"max_new_tokens": int(longest)}
    return Settings(**{**known, **ranges, **limit})


def to_zip(result: Result, view: View) -> bytes:
    """Returns the zip of a result, with the figures that the page shows."""
    saved = to_bundle(result, view)
    sinks = {}
    if view.show == "removed":
        sinks = {name: result.sinks(name, view.token) for name in result.traces}
    shared = {f.name for f in fields(figures.Shown)} & {f.name for f in fields(view)}
    shown = figures.Shown(**{name: getattr(view, name) for name in shared}, without=sinks)
    stream = io.BytesIO()
    drawn = figures.draw(saved.picture, result.traces, shown, saved.boxes)
    bundle.write(stream, saved, drawn)
    return stream.getvalue()


def from_bundle(saved: bundle.Bundle) -> tuple[Result, View]:
    """Returns the result of a bundle, and how it was shown.

    Raises:
        InputError: If its marks on the picture cannot be read.
    """
    drawing = Drawing.read(saved.look) if saved.look is not None else Drawing()
    settings = saved.settings
    form = Form(
        saved.picture,
        saved.question,
        saved.context,
        list(saved.traces),
        *settings.learning,
        *settings.injection,
        settings.stride,
        settings.alpha,
        settings.samples,
        settings.seed,
        settings.max_new_tokens,
        settings.options,
        drawing,
    )
    truth = Truth(saved.question, saved.answer, saved.boxes) if saved.answer is not None else None
    length = saved.provenance.get("text_tokens")
    length = length if type(length) is int and length > 0 and saved.context else 0
    result = Result.of(saved.picture, dict(saved.traces), truth, form, saved.renderer, length)
    if "images" in result.first.meta:
        result = replace(result, note=_ONE_OF.format(result.first.meta["images"]))
    return result, read_view(saved.view, result)


def read_view(values: Mapping[str, Any], result: Result) -> View:
    """Returns a view out of JSON values; what does not fit the result has its default.

    Args:
        values: Values of `View` by name.
        result: What is shown.
    """
    first, default = result.first, View()
    tokens = max(len(trace.tokens) for trace in result.traces.values())
    allowed: dict[str, Any] = {
        "token": range(tokens),
        "layer": (None, *first.attention_layers.tolist()),
        "head": ("mean", "max", *range(first.num_heads)),
        "normalised": (False, True),
        "scale": render.SCALES if result.has_tiles else ("whole",),
        "show": SHOWS,
        "rings": (False, True),
        "fixed": (False, True),
    }
    found = {}
    for name, choices in allowed.items():
        value = values.get(name, getattr(default, name))
        # A list must not be compared with the choices; True would be equal to 1.
        is_plain = isinstance(value, str | int | None)
        is_choice = is_plain and any(value == c and type(value) is type(c) for c in choices)
        if is_choice:
            found[name] = value
    opacity = values.get("opacity")
    if isinstance(opacity, int | float) and np.isfinite(opacity):
        found["opacity"] = min(max(float(opacity), 0.0), 1.0)
    return replace(default, **found)
