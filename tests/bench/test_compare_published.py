"""The comparison of the published form with this project's."""

import numpy as np
import torch

from tests.support.published import published_adapter
from tests.support.tiny import HIDDEN
from vif.__main__ import main
from vif.bench import compare_published


def test_compare_published_prints_what_is_known_of_both(capsys, monkeypatch):
    tables = compare_published.compare()
    monkeypatch.setattr(compare_published, "compare", lambda: tables)
    assert main(["compare-published"]) == 0
    assert "published" in capsys.readouterr().out
    effects, costs = (dict(table) for table in tables)
    for name, (published, here) in effects.items():
        if "entropy of the map" in name:
            # A softmax of heights in [0, 1] cannot be far from uniform.
            assert 100 * 6.2328 / np.log(576) <= published <= 100
            assert here < published
        if "largest" in name:
            assert published <= np.e < here
        if "image after" in name and "share" in name:
            before = effects[name.replace("after", "before")][0]
            assert np.allclose([published, here], 0.5 * before + 50, atol=1e-3)
    parameters = costs["parameters, millions"]
    assert 3400 < parameters[0] < 3450
    assert max(parameters[1:]) < 0.01 * parameters[0]


def test_flops_are_those_of_the_matrices():
    with torch.device("meta"):
        adapter = published_adapter().requires_grad_(False)
    first, further = compare_published.question_flops(adapter)
    assert first == further
    n, t, d, f, k = compare_published.SIDE**2, compare_published.TEXT_TOKENS, 16, 32, 3
    projections = 2 * HIDDEN * d * (n + t)
    squares = 2 * d * d * (4 * n + 4 * t + 2 * (n + t) + 2 * (t + n))
    products = 4 * d * (n * n + t * t + n * t + t * n)
    block = squares + products + 4 * d * f * (n + t)
    compress = 2 * d * d * (2 * k + 2 * n) + 4 * d * k * n
    heads = 2 * d * d * 2 * k + 2 * d * 4 * k
    assert first == projections + 2 * block + compress + heads
