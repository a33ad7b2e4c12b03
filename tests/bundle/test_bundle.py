"""One zip that restores a question and its answers, and which zips are refused."""

import io
import json
import pickle
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.support.fake_session import LAYERS, FakeSession
from vif import bundle
from vif.bundle.safe_zip import MOST_FILES, SafeZip, read_arrays
from vif.errors import InputError
from vif.settings import Settings

BOXES = ((0.1, 0.2, 0.4, 0.5),)


@pytest.fixture(scope="module")
def saved():
    settings = Settings(alpha=0.4, seed=3, options={"pai": {"alpha": 0.3}})
    traces = FakeSession().ask(None, "What colour is it?", context="a few words", alpha=0.4, seed=3)
    picture = Image.new("RGB", (64, 48), (10, 90, 200))
    made = bundle.provenance("2026-01-02T03:04:05+00:00", model="fake-vlm")
    return bundle.Bundle(
        picture, traces, settings, "red", BOXES, "Look.", {"layer": 5}, provenance=made
    )


@pytest.fixture(scope="module")
def data(saved):
    stream = io.BytesIO()
    bundle.write(stream, saved, {"figures/x.svg": b"<svg/>"})
    return stream.getvalue()


def edited(data, **files):
    """The zip with files replaced, or removed where they are None."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            if name not in files:
                new.writestr(name, old.read(name))
        for name, value in files.items():
            if value is not None:
                new.writestr(name, value)
    return stream.getvalue()


def index_with(data, **changes):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        index = json.loads(archive.read("bundle.json"))
    return edited(data, **{"bundle.json": json.dumps(index | changes)})


def trace_with(data, saved, **changes):
    stream = io.BytesIO()
    replace(saved.traces["vif"], **changes).save(stream)
    return edited(data, **{"traces/vif.npz": stream.getvalue()})


def test_everything_survives_the_zip(saved, data):
    found = bundle.read(data)
    for name in ("settings", "answer", "boxes", "note", "view", "look", "renderer", "provenance"):
        assert getattr(found, name) == getattr(saved, name)
    assert (found.question, found.context) == ("What colour is it?", "a few words")
    assert list(found.traces) == ["plain", "vif"]
    assert np.array_equal(np.asarray(found.picture), np.asarray(saved.picture))
    for name, trace in saved.traces.items():
        for array in ("rows", "mass", "logprobs", "cells", "blocks"):
            assert np.array_equal(getattr(found.traces[name], array), getattr(trace, array))
        assert len(found.traces[name].mixtures) == len(trace.mixtures)
        assert found.traces[name].meta == json.loads(json.dumps(trace.meta))


def test_the_same_bundle_is_the_same_bytes(saved, data):
    stream = io.BytesIO()
    bundle.write(stream, saved, {"figures/x.svg": b"<svg/>"})
    # NumPy dates the files inside a trace; everything else is compared.
    for name in ("bundle.json", "picture.png", "curves.csv", "tokens.csv", "answers.json"):
        read = [
            zipfile.ZipFile(io.BytesIO(zipped)).read(name) for zipped in (data, stream.getvalue())
        ]
        assert read[0] == read[1]


def test_tables_hold_what_the_traces_say(saved, data):
    lines = zipfile.ZipFile(io.BytesIO(data)).read("curves.csv").decode().splitlines()
    assert lines[0] == "method,token,layer,image_share,entropy,in_box_share"
    tokens = sum(len(trace.tokens) for trace in saved.traces.values())
    assert len(lines) == 1 + tokens * LAYERS
    method, token, layer, share, *_ = lines[1].split(",")
    expected = saved.traces[method].mass[int(token), int(layer), :, 0].mean()
    assert float(share) == pytest.approx(expected, abs=1e-5)


def test_a_layer_without_attention_is_read_again(saved, data):
    rows, mass = saved.traces["vif"].rows.copy(), saved.traces["vif"].mass.copy()
    rows[:, 2], mass[:, 2] = np.nan, np.nan
    found = bundle.read(trace_with(data, saved, rows=rows, mass=mass))
    assert 2 not in found.traces["vif"].attention_layers


def test_a_large_picture_is_shrunk(saved):
    stream = io.BytesIO()
    bundle.write(stream, replace(saved, picture=Image.new("RGB", (3000, 30))))
    assert bundle.read(stream.getvalue()).picture.size == (2048, 20)


@pytest.mark.parametrize("cut", [0, 1, 100, 5000, -30])
def test_a_cut_or_foreign_file_is_refused_in_one_sentence(data, cut):
    with pytest.raises(InputError, match="zip") as caught:
        bundle.read(data[:cut])
    assert "\n" not in str(caught.value)


def test_a_damaged_byte_is_refused(data):
    middle = data.index(b"PK\x03\x04", 4000) + 80
    with pytest.raises(InputError, match="damaged"):
        bundle.read(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "format 2, but this version of VIF Lens reads formats up to 1"),
        ({"version": True}, "cannot be read"),
        ({"format": "other"}, "cannot be read"),
        ({"methods": ["../../etc/passwd"]}, "methods"),
        ({"methods": ["/etc/passwd"]}, "methods"),
        ({"methods": []}, "methods"),
        ({"methods": ["plain", "gone"]}, "contains no traces/gone.npz"),
        ({"methods": ["plain"] * 2}, "methods"),
        ({"settings": {"alpha": "much"}}, "settings"),
        ({"settings": {"alpha": 2}}, "Alpha is 2"),
        ({"settings": {"learning": [0, 99]}}, "layers 0 to 7"),
        ({"truth": {"answer": "red", "boxes": [[0, 0, 2, 1]]}}, "A box is"),
        ({"truth": {"answer": 3}}, "truth"),
        ({"view": [1]}, "view"),
        ({"note": {"a": 1}}, "note"),
    ],
)
def test_an_invalid_index_is_refused(data, changes, words):
    with pytest.raises(InputError, match=words):
        bundle.read(index_with(data, **changes))


def test_an_index_that_is_not_json_or_too_deep_is_refused(data):
    for text in ("{", "[" * 100_000, '"' + "x" * 3_000_000 + '"'):
        with pytest.raises(InputError, match=r"bundle.json"):
            bundle.read(edited(data, **{"bundle.json": text}))


@pytest.mark.parametrize(
    "change",
    [
        lambda trace: {"rows": trace.rows[:, :, :, :5]},
        lambda trace: {"rows": trace.rows * 9},
        lambda trace: {"rows": np.full_like(trace.rows, np.nan)},
        lambda trace: {"rows": trace.rows[:0]},
        lambda trace: {"logprobs": trace.logprobs + 5},
        lambda trace: {"cells": trace.cells * 4},
        lambda trace: {"blocks": trace.blocks - 1},
        lambda trace: {"tokens": [1] * len(trace.tokens)},
        lambda trace: {"tokens": trace.tokens[:-1]},
        lambda trace: {"alternatives": [[("a", "much")]] * len(trace.tokens)},
        lambda trace: {"mixtures": [replace(trace.mixtures[0], layer=99)]},
        lambda trace: {"mixtures": [replace(trace.mixtures[0], map=np.zeros(3))]},
        lambda trace: {"meta": trace.meta | {"seconds": "soon"}},
        lambda trace: {"meta": trace.meta | {"stride": 0}},
        lambda trace: {"meta": trace.meta | {"layout": {"grids": 3}}},
        lambda trace: {"meta": trace.meta | {"notes": {"box": ["a"]}}},
        lambda trace: {"meta": {"model": "x"}},
        lambda trace: {"meta": trace.meta | {"question": "another"}},
        lambda trace: {"method": "other"},
    ],
)
def test_a_trace_that_does_not_go_together_is_refused(saved, data, change):
    with pytest.raises(InputError, match="zip"):
        bundle.read(trace_with(data, saved, **change(saved.traces["vif"])))


def test_pickles_are_not_opened(data, saved):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    stream = io.BytesIO()
    np.savez(stream, header=np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="unsupported type"):
        bundle.read(edited(data, **{"traces/vif.npz": stream.getvalue()}))
    with pytest.raises(InputError, match="zip"):
        bundle.read(edited(data, **{"traces/vif.npz": pickle.dumps([1, 2])}))


def npy(shape, body=b""):
    header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def npz(**arrays):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            archive.writestr(f"{name}.npy", value)
    return stream.getvalue()


def test_an_array_that_claims_to_be_larger_than_it_is_takes_no_memory():
    assert read_arrays(npz(a=npy((2,), b"\0" * 8)), 10_000)["a"].tolist() == [0, 0]
    for shape in ((10**13,), (-1,), (2**62, 4)):
        with pytest.raises(InputError, match="damaged"):
            read_arrays(npz(a=npy(shape, b"\0" * 8)), 10_000)


def test_a_bomb_is_refused_before_it_is_unpacked(data, saved):
    bomb = npz(a=b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(InputError, match="unpacks to more"):
        read_arrays(bomb, 1_000_000)
    with pytest.raises(InputError, match="unpacks to more"):
        bundle.read(edited(data, **{"traces/vif.npz": bomb}), most_bytes=10_000_000)
    with pytest.raises(InputError, match="unpacks to more"):
        bundle.read(data, most_bytes=1000)


def test_a_zip_that_lies_about_sizes_is_refused():
    bomb = bytearray(npz(a=b"\0" * 5_000_000))
    entry = bomb.index(b"PK\x01\x02")
    bomb[entry + 24 : entry + 28] = struct.pack("<I", 10)
    archive = SafeZip(bytes(bomb), 1_000_000)
    with pytest.raises(InputError, match=r"unpacks|damaged"):
        archive.read("a.npy")


def test_too_many_files_and_files_listed_twice_are_refused(data):
    many = edited(data, **{f"extra/{i}": b"" for i in range(MOST_FILES)})
    with pytest.raises(InputError, match="at most"):
        bundle.read(many)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("bundle.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("bundle.json", "{}")
    with pytest.raises(InputError, match="twice"):
        bundle.read(stream.getvalue())


def test_a_method_whose_name_is_a_path_is_not_written(saved):
    with pytest.raises(InputError, match="cannot be saved"):
        bundle.write(io.BytesIO(), replace(saved, traces={"../x": saved.first}))


def test_a_missing_file_gives_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        bundle.read(tmp_path / "none.zip")
