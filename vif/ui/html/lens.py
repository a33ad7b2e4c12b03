"""The words of a place of the picture, layer by layer, and the answers that read it."""

from __future__ import annotations

from typing import Any

from vif.metrics import token_at
from vif.probes import PatchLens
from vif.trace import Trace
from vif.ui.html.templates import fill
from vif.ui.state.result import Result
from vif.ui.tones import colour_classes


def lens_html(found: PatchLens, result: Result, place: tuple[float, float]) -> str:
    """Two tables: words by layer, and the answers' tokens by how much they read the place.

    Args:
        found: The words.
        result: The shown answers.
        place: From the left and from the top, in [0, 1] of the picture.
    """
    said = {trace.tokens[0].strip().lower() for trace in result.traces.values()} - {""}
    words = [
        [(word, float(p), word.strip().lower() in said) for word, p in zip(*layer, strict=True)]
        for layer in zip(found.words, found.probabilities, strict=True)
    ]
    readers = [
        {"name": name, "tone": tone, "rows": _read(result.traces[name], place)}
        for name, tone in colour_classes(result.traces).items()
    ]
    return fill("lens", words=words, readers=readers, token=found.token, place=place)


def _read(trace: Trace, place: tuple[float, float]) -> list[dict[str, Any]] | None:
    """Per token of an answer how much it reads a place; None if the answer did not see it."""
    at = token_at(trace.cells, place)
    if at is None:
        return None
    layers = trace.attention_layers
    rows = []
    for word, by_layer in zip(trace.tokens, trace.rows[:, layers][..., at].mean(2), strict=True):
        most = int(by_layer.argmax())
        rows.append({
            "word": word, "mean": float(by_layer.mean()), "most": float(by_layer[most]),
            "layer": int(layers[most]),
        })  # fmt: skip
    return rows
