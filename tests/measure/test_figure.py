"""The figure for print."""

import pytest

from vif import measure
from vif.measure.curves import FIRST
from vif.measure.figure import draw
from vif.measure.summary import EVERY

NUM_LAYERS = 4


def result(model, texts=(0, 256)):
    values = {name: [0.1] * NUM_LAYERS for name in ("mean", "low", "high", "median", "q25", "q75")}
    same = {"tokens": FIRST, "text_tokens": EVERY, "n": 8, "images": 2}
    entries = [
        {"method": method, "metric": metric, "text": text} | same | values
        for method in ("plain", "vif", "aif")
        for metric in ("share", "entropy")
        for text in texts
    ]
    origin = {"model": model, "methods": {"plain": {}, "vif": {}, "aif": {}}}
    return measure.MeasuredCurves(
        origin | {"data": {"name": "scenes (test, seed 0)"}}, NUM_LAYERS, entries, []
    )


LONG = "Qwen2.5-VL-72B-Instruct-AWQ-of-somebody"


@pytest.mark.parametrize("models", [["a"], ["demo-vlm", "llava-v1.6-mistral-7b-hf"], [LONG, "b"]])
def test_nothing_is_cut_off_however_long_the_names(models):
    figure = draw([result(model) for model in models])
    figure.draw_without_rendering()
    whole = figure.bbox
    for part in (figure.legends[0].get_window_extent(), figure._suptitle.get_window_extent()):
        assert whole.x0 <= part.x0
        assert part.x1 <= whole.x1
        assert whole.y0 <= part.y0
        assert part.y1 <= whole.y1


def test_layers_without_attention_are_passed_over():
    found = result("hybrid")
    for entry in found.entries:
        for name in ("mean", "low", "high"):
            entry[name] = [None, 0.9, None, 1.0]
    share, _ = draw([found]).axes
    assert all(list(line.get_xdata()) == [1, 3] for line in share.lines)
    assert share.get_ylim()[1] > 1.04
