"""Figures for papers: the page's maps, on the page's scale."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.support.fake_session import FakeSession, tiled_layout
from vif.charts import figures

PICTURE = Image.new("RGB", (64, 48), (90, 120, 90))


@pytest.fixture(scope="module")
def traces():
    return FakeSession().ask(None, "What colour is the star?")


@pytest.fixture(scope="module")
def drawn(traces):
    return figures.draw(PICTURE, traces, figures.Shown(layer=6), [(0.1, 0.1, 0.3, 0.3)])


def test_every_figure_is_there_as_svg_and_as_png(drawn):
    names = {f"figures/{n}.{kind}" for n in ("heatmaps", "attenuation") for kind in ("svg", "png")}
    assert set(drawn) == names
    for name, data in drawn.items():
        if name.endswith("png"):
            assert min(Image.open(io.BytesIO(data)).size) > 300
        else:
            assert ElementTree.fromstring(data).tag.endswith("svg")


def test_the_scale_is_that_of_all_answers_and_printed(traces, drawn):
    top = max(trace.rows[0, 6].mean(0).max() for trace in traces.values())
    shape = (48, 64)
    shown = figures.Shown(layer=6)
    fields = [shown.field(name, trace, shape) for name, trace in traces.items()]
    assert figures.shared_top(fields) == pytest.approx(float(top))
    words = drawn["figures/heatmaps.svg"].decode()
    assert f">{top:.2g}<" in words
    assert "layer 6, mean of heads, token 1" in words


def test_text_of_an_answer_is_text_and_no_markup():
    session = FakeSession(answers={"Why?": "<b>&$x^2$"})
    found = figures.draw(PICTURE, session.ask(None, "Why?"), figures.Shown())
    text = "".join(ElementTree.fromstring(found["figures/heatmaps.svg"]).itertext())
    assert "<b>&$x^2$" in text


def test_the_same_figure_is_the_same_bytes(traces, drawn):
    again = figures.draw(PICTURE, traces, figures.Shown(layer=6), [(0.1, 0.1, 0.3, 0.3)])
    assert again == drawn


def test_sinks_that_are_left_out_are_left_out(traces):
    trace = traces["plain"]
    sinks = np.arange(len(trace.cells)) == trace.rows[0, 6].mean(0).argmax()
    field = figures.Shown(layer=6, without={"plain": sinks}).field("plain", trace, (48, 64))
    assert np.nanmax(field) < trace.rows[0, 6].mean(0).max()


def test_tiles_and_missing_layers_are_drawn():
    session = FakeSession(layout=tiled_layout())
    traces = session.ask(None, "What colour is the star?")
    for trace in traces.values():
        trace.rows[:, 2], trace.mass[:, 2] = np.nan, np.nan
    assert figures.draw(PICTURE, traces, figures.Shown(layer=6, scale="all"))
