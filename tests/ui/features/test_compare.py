"""The tab that compares result files: curves of models and methods; other files are refused."""

import asyncio
import gc
import json
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from vif.errors import InputError
from vif.measure import MeasuredCurves
from vif.measure.page import draw_metric
from vif.ui.features import compare
from vif.ui.state import measured
from vif.ui.state.measured import ResultFiles

SHIPPED = Path(__file__).parents[3] / "assets" / "results" / "attenuation" / "attenuation.json"


@pytest.fixture(scope="module")
def shipped():
    return json.loads(SHIPPED.read_text())


@pytest.fixture
def other(shipped, tmp_path):
    """The result of another model, half as deep, with markup in its name."""
    found = json.loads(json.dumps(shipped))
    found["provenance"]["model"] = "<b>other</b>"
    found["num_layers"] = 4
    for entry in found["entries"]:
        for name in ("mean", "low", "high", "median", "q25", "q75"):
            entry[name] = entry[name][:4]
    path = tmp_path / "other.json"
    path.write_text(json.dumps(found))
    return path


@pytest.fixture(scope="module")
def page():
    with gr.Blocks() as demo, gr.Tabs():
        c = compare.build_compare(SHIPPED)
        compare.connect_compare(c, SHIPPED, 60)
    return demo, c


def shown(page, files=(), is_new=True, kept=None, **changes):
    """What the page shows after an event."""
    demo, c = page
    event = c.files.change if is_new else c.metric.input
    fn = next(
        fn for fn in demo.fns.values()
        if any(t == (c.files._id if is_new else c.metric._id, event.event_name) for t in fn.targets)
    )  # fmt: skip
    values = {"files": list(files), "bundled": True, "metric": "share", "view": 0, "methods": []}
    values |= changes
    state = next(one for one in fn.inputs if isinstance(one, gr.State))
    found = fn.fn({state: kept} | {getattr(c, name): value for name, value in values.items()})
    return {name: found.get(getattr(c, name)) for name in ("methods", "message", "plot", "table")}


def curves(plot):
    return [trace for trace in json.loads(plot.value["plot"])["data"] if trace.get("name")]


def test_the_shipped_result_is_there_without_any_file(page):
    found = shown(page)
    assert found["message"] == ""
    assert [value for _, value in found["methods"].choices] == ["plain", "vif"]
    assert {"Plain, no text before", "VIF, no text before"} <= {
        trace["name"] for trace in curves(found["plot"])
    }
    assert "demo-vlm" in found["table"]


def test_two_models_have_a_curve_per_method_with_intervals(page, other):
    found = shown(page, [str(other)], methods=["plain"], is_new=False)
    drawn = json.loads(found["plot"].value["plot"])["data"]
    names = [trace["name"] for trace in drawn if trace.get("name")]
    # Two models, one method, without text and under 256 tokens of it.
    assert len(names) == len(set(names)) == 4
    assert sum("fill" in trace for trace in drawn) == 4
    # Depths differ: layers are placed by their share of it.
    assert max(curves(found["plot"])[0]["x"]) == 1


def test_a_name_in_a_file_is_text_and_no_markup(page, other):
    found = shown(page, [str(other)])
    assert "<b>other" not in found["table"]
    assert "&lt;b&gt;other" in found["table"]
    names = {trace["name"] for trace in curves(found["plot"])}
    assert not any("<b>" in name for name in names)


def test_one_model_on_two_data_sets_is_told_apart_by_the_data(shipped):
    first = MeasuredCurves(**{name: shipped[name] for name in MeasuredCurves.__dataclass_fields__})
    provenance = {**first.provenance, "data": {**first.provenance["data"], "name": "photographs"}}
    second = MeasuredCurves(provenance, first.num_layers, first.entries, [])
    names = [trace.name for trace in draw_metric([first, second], "share").data if trace.name]
    assert len(names) == len(set(names)) == 8
    assert any("photographs" in name for name in names)
    again = [trace.name for trace in draw_metric([first, first], "share").data if trace.name]
    assert len(set(again)) == 8


def test_the_table_names_files_as_the_curves_do(page, tmp_path):
    again = tmp_path / "again.json"
    again.write_bytes(SHIPPED.read_bytes())
    found = shown(page, [str(again)])
    owners = {trace["name"].split(":")[0] for trace in curves(found["plot"])}
    assert len(owners) == 2
    assert all(f">{owner}<" in found["table"] for owner in owners)


def test_nothing_to_draw_is_reported(page):
    assert "No method is chosen" in shown(page, is_new=False)["message"]
    assert "No file is open" in shown(page, bundled=False)["message"]
    found = shown(page, metric="lift", view=2)
    assert found["plot"].visible


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nothing", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[]", "valid dictionary"),
        (b"[" * 100_000, "nested too deeply"),
        ({"kind": "vif bench"}, "kind"),
        ({"format": 2}, "format"),
        ({"num_layers": "8"}, "num_layers"),
        ({"num_layers": 7}, "does not have 7 layers"),
        ({"entries": []}, "entries"),
        ({"provenance": {}}, "provenance.model"),
    ],
)
def test_a_wrong_file_gives_one_sentence_and_what_is_shown_stays(
    page, shipped, tmp_path, content, words
):
    path = tmp_path / "wrong.json"
    is_raw = isinstance(content, bytes)
    path.write_bytes(content if is_raw else json.dumps(shipped | content).encode())
    found = shown(page, [str(path)])
    assert found["plot"] is None
    message = found["message"]
    assert "wrong.json is not a result of &#39;vif attenuation&#39;" in message
    assert words in message
    assert str(tmp_path) not in message
    with pytest.raises(InputError, match="is not a result of 'vif attenuation'") as error:
        MeasuredCurves.load(path)
    assert "\n" not in str(error.value)


def test_values_that_are_not_numbers_are_refused(shipped, tmp_path):
    path = tmp_path / "wrong.json"
    for value in (float("nan"), float("inf"), "0.5", True):
        found = json.loads(json.dumps(shipped))
        found["entries"][0]["mean"][0] = value
        path.write_text(json.dumps(found))
        with pytest.raises(InputError, match="not a result"):
            MeasuredCurves.load(path)


def test_too_many_files_are_refused():
    with pytest.raises(InputError, match="9 files are open, expected 8 at most"):
        ResultFiles().open(["x"] * 9)


def test_files_that_are_too_large_together_are_refused(other, monkeypatch):
    monkeypatch.setattr(measured, "MOST_BYTES", 1.5 * other.stat().st_size)
    assert len(ResultFiles().open([str(other)]).results) == 1
    with pytest.raises(InputError, match=r"MB together, expected .* at most: close some"):
        ResultFiles().open([str(other)] * 2)


# --- files are read once ------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    """The files that were read."""
    found, load = [], MeasuredCurves.load

    def count(path, *args):
        found.append(Path(path).name)
        return load(path, *args)

    monkeypatch.setattr(MeasuredCurves, "load", count)
    return found


def test_what_a_tab_has_open_is_read_once(other, reads):
    """On the page itself: one session opens a file, then changes the metric twice."""
    with gr.Blocks() as demo, gr.Tabs():
        c = compare.build_compare(SHIPPED)
        compare.connect_compare(c, SHIPPED, 60)
    state = SessionState(demo)
    sent = {"path": str(other), "meta": {"_type": "gradio.FileData"}}
    given = {c.files: [sent], c.bundled: True, c.view: 0, c.methods: []}
    events = {t: fn for fn in demo.fns.values() for t in fn.targets}

    async def act():
        for component, metric in ((c.files, "share"), (c.metric, "lift"), (c.metric, "share")):
            fn = events[component._id, "change" if component is c.files else "input"]
            values = [given.get(one, metric if one is c.metric else None) for one in fn.inputs]
            yield await demo.process_api(fn, values, state=state)

    async def act_all():
        return [found async for found in act()]

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setenv("GRADIO_TEMP_DIR", str(other.parent))
        assert len(pool.submit(asyncio.run, act_all()).result()) == 3
    assert sorted(reads) == sorted([other.name, SHIPPED.name])


def test_other_files_are_read_anew(other, reads):
    readings = ResultFiles()
    one = readings.open([str(other)])
    assert readings.open([str(other)], one) is one
    two = readings.open([str(other)] * 2, one)
    assert len(two.results) == 2
    assert len(reads) == 3


def test_of_what_tabs_have_open_the_latest_is_kept(other, reads):
    size = other.stat().st_size
    readings = ResultFiles(most=2 * size)
    first, second = (readings.open([str(other)]) for _ in range(2))
    readings.open([str(other)], first)
    third = readings.open([str(other)])
    # The second was used longest ago.
    assert second.results is None
    assert first.results
    assert third.results
    again = readings.open([str(other)], second)
    assert again.results
    assert len(reads) == 4


def test_what_a_tab_had_open_goes_with_its_session(other):
    readings = ResultFiles()
    opened = readings.open([str(other)])
    kept = weakref.ref(opened.results[0])
    del opened
    gc.collect()
    assert kept() is None
    assert not readings._kept
