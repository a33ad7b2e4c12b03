"""The sweep against single runs, and what it costs; figures of probes and the sweep."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.tiny import NUM_LAYERS
from vif import methods
from vif.bench import speed
from vif.charts import probes as charts
from vif.check import tiny_adapter, tiny_backbone
from vif.check.ramp import ramp_image
from vif.errors import InputError
from vif.model.generation import Cancelled, open_stream
from vif.probes.sweep import sweep
from vif.question import Question
from vif.recording import Recorder
from vif.session import Session

QUESTION, ANSWER = "What is the colour of the star?", "red star"
BOX = (0.3, 0.3, 0.6, 0.7)


def single(session, image, method, settings, answer=ANSWER, question=QUESTION):
    """Log-probability of an answer under one injection range, read token by token."""
    chosen = methods.find(method)
    item = Question(image, question, "", [BOX], [BOX])
    request = session.request([item], settings)
    tap = chosen.tap(replace(request, options=chosen.resolve({})))
    stream, total = open_stream(session.backbone.model, request.batch.inputs), 0.0
    for token in session.backbone._ids(answer):
        total += float(stream.advance(tap).log_softmax(-1)[0, token])
        stream.feed(torch.tensor([token]))
    return total


def asked_at(image):
    return Question(image, QUESTION, "", [BOX], [BOX])


def swept(session, image, **options):
    return sweep(session, asked_at(image), **{"answer": ANSWER, **options})


@pytest.mark.parametrize("method", ["vif", "vif-free", "uniform", "random", "oracle", "look"])
def test_every_cell_is_a_single_run(session, image, method):
    found = swept(session, image, method=method)
    plain = single(session, image, "plain", session.defaults)
    assert found.plain == pytest.approx(plain, abs=1e-4)
    for span in [(3, 3), (3, 5), (4, 5), (5, 5)]:
        expected = single(session, image, method, replace(session.defaults, injection=span)) - plain
        assert found.change[span] == pytest.approx(expected, abs=5e-5)
    assert np.nanmax(np.abs(found.change)) > 1e-3


@pytest.mark.parametrize(
    "changed",
    [{"stride": 2}, {"samples": 2, "seed": 5}, {"phase": "prefill"}, {"alpha": 0.9}],
    ids=lambda changed: next(iter(changed)),
)
@pytest.mark.parametrize("method", ["vif", "vif-free"])
def test_settings_reach_every_cell(session, image, method, changed):
    settings = replace(session.defaults, learning=(0, 2), injection=(3, 5), **changed)
    found = swept(session, image, method=method, settings=settings)
    for span in [(3, 5), (4, 5)]:
        expected = single(session, image, method, replace(settings, injection=span))
        assert found.plain + found.change[span] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("family", ["gemma3", "gemma4", "llava_next", "paligemma", "qwen2_5_vl"])
def test_cells_are_single_runs_in_other_families(family):
    session, image = Session(tiny_backbone(family), tiny_adapter()), ramp_image((60, 40))
    words, answer = "what colour is the star ?", "red star"
    found = sweep(session, Question(image, words), answer=answer)
    for span in [(3, 5), (5, 5)]:
        settings = replace(session.defaults, injection=span)
        expected = single(session, image, "vif", settings, answer, words)
        assert found.plain + found.change[span] == pytest.approx(expected, abs=5e-5)


class Fixed(Recorder):
    """Injects a given map."""

    def __init__(self, batch, mixes):
        super().__init__(batch)
        self.mixes = mixes

    def mix(self, layer):
        return self.mixes.get(layer)


def test_cells_before_the_map_use_the_map_of_a_plain_pass(session, image):
    found = swept(session, image)
    # Layer 1 of a plain pass is read for all layers, without being injected into any.
    settings = replace(session.defaults, learning=(1, 1), injection=(0, NUM_LAYERS - 1))
    request = session.request([Question(image, QUESTION)], session.defaults)
    reader = methods.find("vif").tap(replace(request, settings=settings))
    reader.mix = lambda layer: None
    open_stream(session.backbone.model, request.batch.inputs).advance(reader)
    stream, total = open_stream(session.backbone.model, request.batch.inputs), 0.0
    tap = Fixed(request.batch, {0: reader.mixes[0]})
    for token in session.backbone._ids(ANSWER):
        total += float(stream.advance(tap).log_softmax(-1)[0, token])
        stream.feed(torch.tensor([token]))
    assert found.plain + found.change[0, 0] == pytest.approx(total, abs=5e-5)
    assert abs(found.change[0, 0]) > 1e-4


def test_without_strength_nothing_changes(session, image):
    found = swept(session, image, settings=replace(session.defaults, alpha=0.0))
    assert np.nanmax(np.abs(found.change)) < 1e-5


def test_the_grid_is_a_triangle_and_its_best_is_marked(session, image):
    found = swept(session, image)
    assert np.isnan(found.change[np.tril_indices(NUM_LAYERS, -1)]).all()
    assert np.isfinite(found.change[np.triu_indices(NUM_LAYERS)]).all()
    assert found.change[found.best] == np.nanmax(found.change)
    shown = json.loads(json.dumps(found.as_json()))
    assert shown["change"][1][0] is None
    assert shown["best"] == list(found.best)


def test_by_default_the_model_s_own_answer_is_tracked(session, image):
    own = session.ask(image, QUESTION, ["plain"], max_new_tokens=16)["plain"]
    found = sweep(session, Question(image, QUESTION))
    assert found.answer == own.answer


def test_a_sweep_reads_less_than_ten_prompts(session, image):
    """Costs in rows of a layer; a single answer reads its prompt once and a few tokens."""
    read = []
    block = session.backbone.model.get_decoder().layers[0]
    handle = block.register_forward_hook(
        lambda _, args, out: read.append(args[0].shape[:2].numel())
    )
    try:
        session.ask(image, QUESTION, ["plain"], max_new_tokens=2)
        one = sum(read)
        read.clear()
        swept(session, image)
    finally:
        handle.remove()
    assert sum(read) < 10 * one


def test_what_cannot_be_swept_is_reported(session, image):
    with pytest.raises(InputError, match="injects no map"):
        swept(session, image, method="plain")
    with pytest.raises(InputError, match="needs the true boxes"):
        sweep(session, Question(image, QUESTION), method="oracle")
    with pytest.raises(InputError, match="Alpha is 2"):
        swept(session, image, settings=replace(session.defaults, alpha=2))


def test_a_stopped_sweep_stops(session, image):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        swept(session, image, cancel=stop)


# Speed


def test_speed_is_measured_in_ratios_and_puts_attention_back(session, image):
    before = session.ask(image, QUESTION, ["plain"], max_new_tokens=2)["plain"]
    found = speed.measure(session, Question(image, QUESTION), ["plain", "uniform"], 1, 1)
    after = session.ask(image, QUESTION, ["plain"], max_new_tokens=2)["plain"]
    np.testing.assert_array_equal(before.rows, after.rows)
    by_case = {one.case: one for one in found}
    assert by_case["plain SDPA"].ratio == by_case["one answer"].ratio == 1
    assert all(0 < one.low <= one.ratio <= one.high for one in found)
    assert "sweep of 21 injection ranges" in by_case
    shown = speed.table(found).splitlines()
    assert len(shown) == 1 + len(found)
    assert len({len(line) for line in shown}) == 1


# Figures

CHANGE = np.full((4, 4), np.nan)
CHANGE[np.triu_indices(4)] = np.linspace(-0.5, 0.2, 10)


def test_the_sweep_s_colours_are_symmetric_and_its_best_cell_is_marked():
    figure = charts.sweep(CHANGE, (3, 3), (0, 1))
    heat = figure.data[0]
    assert (heat.zmin, heat.zmax) == (-0.5, 0.5)
    assert heat.z[1][0] is None
    best, learning = figure.layout.shapes
    assert (best.x0, best.x1, best.y0, best.y1) == (2.5, 3.5, 2.5, 3.5)
    assert learning.y0 == 1.5
    for words in ("-0.500", "+0.200", "layers 3"):
        assert words in figure.layout.title.text


def test_every_flow_has_its_own_line_and_mark():
    change = np.linspace(-100, 30, 14).reshape(2, 7)
    spans = np.stack([np.arange(7), np.arange(7)], 1)
    figure = charts.knockout(["image->last", "question->last"], change, spans)
    assert [trace.name for trace in figure.data] == ["image → last", "question → last"]
    assert len({trace.marker.symbol for trace in figure.data}) == 2
    np.testing.assert_allclose(figure.data[1].y, change[1], rtol=1e-5)
    low, high = figure.layout.yaxis.range
    assert low < -100
    assert high > 30


def test_an_exit_sweep_marks_the_first_exit_and_where_the_answer_stays():
    after, same = np.arange(-1, 4), np.array([False, True, False, True, True])
    figure = charts.exit_sweep(after, np.linspace(1, 0, 5), np.linspace(0, 1, 5), same, 2)
    assert [shape.x0 for shape in figure.layout.shapes] == [2, 2]
    assert list(figure.data[0].marker.symbol) == [
        "circle-open", "circle", "circle-open", "circle", "circle",
    ]  # fmt: skip
    assert figure.layout.xaxis.ticktext[0] == "never"
    assert list(figure.data[0].x) == after.tolist()


def test_a_deletion_curve_lies_over_its_band():
    shares, random = np.array([0, 0.5, 1]), np.array([[0.9, 0.8, 0.1], [0.9, 0.6, 0.1]])
    figure = charts.deletion(shares, np.array([0.9, 0.2, 0.1]), random, "VIF")
    upper, lower, mean, top = figure.data
    assert list(upper.y) == [0.9, 0.8, 0.1]
    assert list(lower.y) == [0.9, 0.6, 0.1]
    np.testing.assert_allclose(mean.y, [0.9, 0.7, 0.1], rtol=1e-5)
    assert list(top.y) == [0.9, 0.2, 0.1]
    assert list(top.x) == [0, 50, 100]
    assert "VIF" in top.name


def test_head_divergence_starts_at_zero_and_prints_its_range():
    figure = charts.head_divergence(np.array([[1.0, 2], [3, 4.5]]))
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 4.5)
    assert "4.5" in figure.layout.title.text
