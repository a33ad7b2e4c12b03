"""Exports of traces: tables, named arrays, figures, HTML."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from vif import metrics
from vif.trace import MASS_PARTS, Trace


@pytest.fixture(scope="module")
def traces(session, image):
    return session.ask(image, "What is it?", ["plain", "uniform"], max_new_tokens=3)


def test_a_frame_has_a_line_per_token_layer_and_head(traces):
    trace = traces["plain"]
    frame = trace.to_frame()
    assert len(frame) == trace.mass[..., 0].size
    assert frame[list(MASS_PARTS)].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    some = frame[(frame.token == 2) & (frame.layer == 1) & (frame["head"] == 3)].iloc[0]
    assert some.image == pytest.approx(trace.mass[2, 1, 3, 0])
    assert some.text == trace.tokens[2]
    shares = frame[frame.token == 0].groupby("layer").image.mean()
    assert shares.to_numpy() == pytest.approx(metrics.image_share(trace), abs=1e-5)
    assert set(traces.to_frame().method) == {"plain", "uniform"}


def test_xarray_names_every_axis(traces):
    pytest.importorskip("xarray")
    trace = traces["plain"]
    found = trace.to_xarray()
    assert found.rows.dims == ("token", "layer", "head", "image_token")
    share = found.mass.sel(part="image", token=0).mean("head")
    assert share.to_numpy() == pytest.approx(metrics.image_share(trace), abs=1e-5)
    both = traces.to_xarray()
    assert list(both.method_name.to_numpy()) == ["plain", "uniform"]
    assert both.rows.sel(method_name="plain").to_numpy() == pytest.approx(trace.rows)


def test_figures_show_what_the_metrics_say(traces):
    parts = traces["plain"].plot()
    assert [curve.name for curve in parts.data] == list(MASS_PARTS[:-1])
    assert np.sum([curve.y for curve in parts.data], 0) == pytest.approx(1, abs=1e-4)
    both = traces.plot()
    assert list(both.data[0].y) == pytest.approx(metrics.image_share(traces["plain"]))


def test_html_shows_every_layer_and_escapes_what_a_model_says(traces):
    trace = replace(traces["plain"], tokens=["<script>alert(1)</script>", "a", "b"], answer="<b>")
    shown = trace._repr_html_()
    assert "<script" not in shown
    assert "<script>alert(1)</script>" in unescape(shown)
    assert len(re.findall("<img ", shown)) == trace.num_layers
    assert 'src="data:image/jpeg' in shown
    assert len(re.findall("<img ", traces._repr_html_())) == 2 * trace.num_layers


def test_a_trace_without_a_picture_is_shown_too(traces, tmp_path):
    traces["plain"].save(tmp_path / "x.npz")
    loaded = Trace.load(tmp_path / "x.npz")
    assert loaded.picture is None
    assert "<img " in loaded._repr_html_()
