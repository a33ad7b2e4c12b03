"""Traces as files and as JSON."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import vif
from vif.report import as_json


def test_a_trace_survives_its_file(session, image, tmp_path):
    trace = session.ask(image, "What colour is the star?", ["vif"], max_new_tokens=2)["vif"]
    path = tmp_path / "x.npz"
    trace.save(path)
    loaded = vif.Trace.load(path)
    for name in ("logprobs", "rows", "mass", "centres", "cells", "blocks"):
        assert np.array_equal(getattr(trace, name), getattr(loaded, name))
    for name in ("method", "answer", "tokens", "alternatives"):
        assert getattr(trace, name) == getattr(loaded, name)
    assert loaded.meta == json.loads(json.dumps(trace.meta))
    assert len(loaded.mixtures) == 3
    for before, after in zip(trace.mixtures, loaded.mixtures, strict=True):
        assert (before.layer, before.source) == (after.layer, after.source)
        assert np.array_equal(before.map, after.map)
    assert all(name.endswith(".npy") for name in zipfile.ZipFile(path).namelist())


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match="not a trace"):
        vif.Trace.load(path)


def test_report_has_the_promised_shape(session, image):
    traces = session.ask(image, "What colour is the star?", ["plain", "vif"], max_new_tokens=2)
    found = json.loads(json.dumps(as_json(traces)))
    assert found["model"] == "tiny"
    assert set(found["answers"]) == {"plain", "vif"}
    assert set(found["answers"]["plain"]) == {"text", "tokens", "logprobs"}
    assert len(found["attenuation"]["vif"]) == session.num_layers
    assert len(found["entropy"]["plain"]) == session.num_layers
    assert {m["method"] for m in found["mixtures"]} == {"vif"}
    assert np.isclose(sum(found["mixtures"][0]["map"]), 1, atol=1e-4)


def test_a_trace_of_four_parts_is_read_as_one_without_other_images(session, image, tmp_path):
    """Traces recorded before prompts had several images."""
    trace = session.ask(image, "What colour is the star?", ["plain"], max_new_tokens=2)["plain"]
    replace(trace, mass=trace.mass[..., :4]).save(tmp_path / "old.npz")
    found = vif.Trace.load(tmp_path / "old.npz")
    assert np.array_equal(found.mass[..., :4], trace.mass[..., :4], equal_nan=True)
    assert found.mass.shape[-1] == 5
    assert not found.mass[..., 4].any()
