"""The tab that compares result files: curves of models and methods, and one sentence for others."""

import json
from pathlib import Path

import gradio as gr
import pytest

from vif.errors import InputError
from vif.measure import Result
from vif.measure.page import draw_metric
from vif.ui.panels import compare

SHIPPED = Path(__file__).parents[3] / "assets" / "results" / "attenuation" / "attenuation.json"


@pytest.fixture(scope="module")
def shipped():
    return json.loads(SHIPPED.read_text())


@pytest.fixture
def other(shipped, tmp_path):
    """The result of another model, half as deep, whose name is a stranger's."""
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
        compare.connect_compare(c, SHIPPED)
    return demo, c


def shown(page, files=(), is_new=True, **changes):
    """What the page shows after an event."""
    demo, c = page
    event = c.files.change if is_new else c.metric.input
    fn = next(
        fn for fn in demo.fns.values()
        if any(t == (c.files._id if is_new else c.metric._id, event.event_name) for t in fn.targets)
    )  # fmt: skip
    values = {"files": list(files), "bundled": True, "metric": "share", "view": 0, "methods": []}
    values |= changes
    found = fn.fn({getattr(c, name): value for name, value in values.items()})
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
    first = Result(**{name: shipped[name] for name in Result.__dataclass_fields__})
    provenance = {**first.provenance, "data": {**first.provenance["data"], "name": "photographs"}}
    second = Result(provenance, first.num_layers, first.entries, [])
    names = [trace.name for trace in draw_metric([first, second], "share").data if trace.name]
    assert len(names) == len(set(names)) == 8
    assert any("photographs" in name for name in names)
    again = [trace.name for trace in draw_metric([first, first], "share").data if trace.name]
    assert len(set(again)) == 8


def test_nothing_to_draw_is_said(page):
    assert "No method is chosen" in shown(page, is_new=False)["message"]
    assert "Nothing is open" in shown(page, bundled=False)["message"]
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
def test_a_wrong_file_is_one_sentence_and_what_is_shown_stays(
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
        Result.load(path)
    assert "\n" not in str(error.value)


def test_values_that_are_no_numbers_are_refused(shipped, tmp_path):
    path = tmp_path / "wrong.json"
    for value in (float("nan"), float("inf"), "0.5", True):
        found = json.loads(json.dumps(shipped))
        found["entries"][0]["mean"][0] = value
        path.write_text(json.dumps(found))
        with pytest.raises(InputError, match="not a result"):
            Result.load(path)


def test_too_many_files_are_refused():
    with pytest.raises(InputError, match="9 files are open, expected 8 at most"):
        compare.read(["x"] * 9, None)
