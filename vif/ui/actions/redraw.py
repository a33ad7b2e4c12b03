"""What a click redraws, as plain functions; none of them runs the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from plotly import graph_objects as go

from vif.draw import charts
from vif.ui.actions import handlers
from vif.ui.actions.handlers import view_of
from vif.ui.html.cards import answer_cards
from vif.ui.html.maps import contact_sheet, heatmaps
from vif.ui.html.markup import NO_LAYER, text
from vif.ui.state.result import Curves, Result, View


def notice(words: str, is_problem: bool = False) -> str:
    """Returns the message line: a problem is announced at once, anything else politely."""
    if not words:
        return ""
    role, kind = ("alert", "problem") if is_problem else ("status", "status")
    return f'<p class="vl-{kind}" role="{role}">{text(words)}</p>'


def curve_figure(result: Result, view: View) -> go.Figure:
    """Returns the attenuation figure of a result at the chosen token."""
    curves = Curves.of(result, view)
    meta = result.first.meta if result.injecting else {}
    ranges = [tuple(meta[key]) if meta.get(key) else None for key in ("learning", "injection")]
    return charts.attenuation(curves.share, curves.entropy, *ranges, asked=curves.asked)


def draw_layer(result: Result | None, token: int, *view: Any) -> tuple[Any, Any]:
    """The heatmaps of another layer; the sheet of all layers only moves its mark."""
    if result is None:
        return gr.skip(), gr.skip()
    shown = view_of(token, *view)
    return heatmaps(result, shown), gr.HTML(chosen=_mark(shown))


def draw_maps(result: Result | None, token: int, *view: Any) -> tuple[Any, Any]:
    """The heatmaps and the sheet of all layers."""
    if result is None:
        return gr.skip(), gr.skip()
    shown = view_of(token, *view)
    return heatmaps(result, shown), draw_sheet(result, shown)


def draw_sheet(result: Result, view: View) -> gr.HTML:
    """The sheet of all layers with the shown one marked."""
    return gr.HTML(contact_sheet(result, view), chosen=_mark(view))


def _mark(view: View) -> int:
    """The number of the marked layer, as the sheet's script wants it."""
    return NO_LAYER if view.layer is None else view.layer


def take_token(
    event: gr.EventData, result: Result | None, _token: int, *view: Any
) -> tuple[Any, ...]:
    """The clicked token: cards, maps and curves follow."""
    longest = max(len(t.tokens) for t in result.traces.values()) if result else 0
    index = picked(event, longest)
    if index is None:
        return (gr.skip(),) * 5
    shown = view_of(index, *view)
    maps = draw_maps(result, index, *view)
    return index, answer_cards(result, shown), *maps, curve_figure(result, shown)


def take_layer(
    event: gr.EventData, result: Result | None, token: int, *view: Any
) -> tuple[Any, ...]:
    """The clicked layer of the sheet, large."""
    index = picked(event, result.first.num_layers if result else 0)
    if index is None:
        return (gr.skip(),) * 4
    return index, False, *draw_layer(result, token, index, False, *view[2:])


def save(result: Result | None, token: int, *view: Any) -> Iterator[tuple[Any, Any]]:
    """The files, and the program that draws the shown map again."""
    if result is None:
        return
    shown = view_of(token, *view)
    if shown.layer is not None:
        shown = replace(shown, layer=result.first.nearest_layer(shown.layer))
    code = handlers.redraw_script(result, shown)
    # Gradio goes on after it has copied the files to its cache, which it empties by age.
    with TemporaryDirectory(prefix="vif-lens-") as folder:
        paths = handlers.save_files(result, shown, Path(folder))
        yield gr.Files(paths, visible=True), gr.Code(code, visible=True)


def picked(event: gr.EventData, count: int) -> int | None:
    """The number a component reported; None unless it is an index below `count`.

    It comes from the browser, so it may be anything.
    """
    index = event._data.get("index") if isinstance(event._data, dict) else None
    is_index = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < count
    return index if is_index else None
