"""Metrics on maps whose values are known."""

import numpy as np

from vif.bench import interval
from vif.boxes import box_shares
from vif.families import grid_cells
from vif.metrics import attenuation, entropy_share, image_share, in_box_mass, points_into
from vif.trace import Trace


def trace_of(rows, mass):
    none = np.zeros(0)
    return Trace("plain", "", [], none, rows, mass, none, none, none)


def test_uniform_and_one_hot_entropy():
    assert np.isclose(entropy_share(np.full(144, 1 / 144)), 1)
    assert abs(entropy_share(np.eye(144)[3])) < 1e-6


def test_share_and_in_box_mass():
    rows = np.zeros((1, 4, 2, 10))
    rows[0, :, :, 2] = 0.3
    rows[0, :, :, 5] = 0.1
    mass = np.zeros((1, 4, 2, 4))
    mass[0, :, :, 0] = np.array([0.8, 0.6, 0.4, 0.2])[:, None]
    trace = trace_of(rows, mass)
    assert np.allclose(image_share(trace), [0.8, 0.6, 0.4, 0.2])
    truth = np.zeros(10)
    truth[2] = 1
    assert np.allclose(in_box_mass(trace, truth), 0.75)
    assert np.isclose(attenuation(trace), 1 - 0.2 / 0.8)
    assert points_into(rows[0, 0, 0], truth)
    assert not points_into(rows[0, 0, 0][::-1], truth)


def test_boxes_become_shares_of_tokens():
    cells = grid_cells(2, 2)
    assert np.allclose(box_shares(cells, [(0, 0, 0.5, 0.5)]), [1, 0, 0, 0])
    assert np.allclose(box_shares(cells, [(0.25, 0, 0.75, 0.5)]), [0.5, 0.5, 0, 0])
    both = [(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)]
    assert np.allclose(box_shares(cells, both), [0.5, 0, 0, 0.5])
    assert box_shares(cells, []).sum() == 0


def test_intervals_cover_and_shrink():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        values = (rng.random(400) < 0.7).astype(float)
        low, high = interval(values, np.arange(400) // 5)
        covered += low <= 0.7 <= high
    assert covered >= 34
    few, many = (
        np.diff(interval((rng.random(n) < 0.7).astype(float), np.arange(n)))[0] for n in (50, 5000)
    )
    assert many < few / 4


def test_correlated_questions_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 80), 5).astype(float)
    alone = np.diff(interval(values, np.arange(400)))[0]
    clustered = np.diff(interval(values, np.arange(400) // 5))[0]
    assert clustered > 1.5 * alone
