"""Metrics on maps with known values."""

from dataclasses import replace

import numpy as np
import pytest

from vif import metrics
from vif.bench import interval
from vif.errors import InputError
from vif.inputs.boxes import box_shares
from vif.metrics import attenuation, entropy_share, image_share, in_box_mass, points_into
from vif.model.families import grid_cells
from vif.trace import Trace

SIDE = 8
NUMBER = SIDE * SIDE
UNIFORM = np.full(NUMBER, 1 / NUMBER)
ONE = np.eye(NUMBER)[20]
BOX = (0.25, 0.25, 0.5, 0.75)


def trace_of(rows, mass, **meta):
    none = np.zeros(0)
    return Trace("plain", "", [], none, rows, mass, none, none, none, meta=meta)


def looking(*maps, share=0.5, text=NUMBER):
    """A trace whose layers attend to an 8 x 8 image by these maps, with two equal heads."""
    rows = share * np.stack(maps)[None, :, None].repeat(2, 2)
    mass = np.zeros((1, len(maps), 2, 4))
    mass[..., 0], mass[..., 1], mass[..., 3] = share, (1 - share) / 4, 3 * (1 - share) / 4
    layout = {"grids": [{"rows": SIDE, "columns": SIDE}], "padding": []}
    trace = trace_of(rows, mass, prompt_tokens=NUMBER + text, layout=layout)
    cells = grid_cells(SIDE, SIDE)
    return replace(trace, cells=cells, blocks=np.zeros(NUMBER, int))


def blobs(*corners, size=2):
    grid = np.zeros((SIDE, SIDE))
    for row, column in corners:
        grid[row : row + size, column : column + size] = 1
    return grid.ravel() / grid.sum()


# How much


def test_share_and_in_box_mass_are_those_of_written_rows():
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


def test_uniform_attention_has_no_dominant_modality():
    trace = looking(UNIFORM, ONE, share=0.25, text=3 * NUMBER)
    np.testing.assert_allclose(metrics.modality_dominance(trace), 1, rtol=1e-5)
    text, image = metrics.economy(trace)
    np.testing.assert_allclose([text, image], 1, rtol=1e-5)


def test_dominance_is_the_ratio_of_both_economies():
    trace = looking(UNIFORM, share=0.1, text=NUMBER // 2)
    text, image = metrics.economy(trace)
    np.testing.assert_allclose(text / image, metrics.modality_dominance(trace), rtol=1e-5)
    np.testing.assert_allclose(metrics.modality_dominance(trace), 9 * 2, rtol=1e-5)


def test_dominance_of_a_trace_without_its_length_is_refused():
    with pytest.raises(InputError, match="record the question again"):
        metrics.modality_dominance(trace_of(np.zeros((1, 1, 1, 4)), np.zeros((1, 1, 1, 4))))


def test_sinks_are_taken_out_of_the_share():
    trace = looking(0.5 * UNIFORM + 0.5 * ONE, share=0.8)
    sinks = metrics.attention_sinks(trace)
    assert np.flatnonzero(sinks[0]).tolist() == [20]
    on_sink = 0.5 + 0.5 / NUMBER
    np.testing.assert_allclose(metrics.sink_share(trace, sinks), on_sink, rtol=1e-5)
    np.testing.assert_allclose(image_share(trace, without=sinks), 0.8 * (1 - on_sink), rtol=1e-5)
    others = metrics.image_weights(trace, without=sinks)[0]
    assert others[20] == 0
    np.testing.assert_allclose(others[others > 0], 1 / (NUMBER - 1), rtol=1e-5)


# How widely


def test_entropy_share_is_one_for_uniform_and_zero_for_one_token():
    assert np.isclose(entropy_share(np.full(144, 1 / 144)), 1)
    assert abs(entropy_share(np.eye(144)[3])) < 1e-6


@pytest.mark.parametrize(
    ("weights", "tokens", "top", "gini"),
    [(UNIFORM, NUMBER, 4 / NUMBER, 0), (ONE, 1, 1, 1 - 1 / NUMBER), (blobs((0, 0)), 4, 1, 15 / 16)],
)
def test_width_of_known_maps(weights, tokens, top, gini):
    assert np.isclose(metrics.effective_tokens(weights), tokens)
    assert np.isclose(metrics.top_mass(weights, 0.05), top)
    assert np.isclose(metrics.gini(weights), gini)
    trace = looking(weights)
    np.testing.assert_allclose(metrics.focus(trace), 1 - np.log(tokens) / np.log(NUMBER), rtol=1e-5)


def test_top_mass_counts_whole_tokens():
    assert np.isclose(metrics.top_mass(np.full(100, 0.01), 0.07), 0.07)


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ([(2, 2)], 0),
        ([(0, 0), (5, 5)], np.log(2)),
        ([(0, 0), (2, 2)], 0),  # they touch at a corner
        ([(0, 0), (0, 5), (5, 0)], np.log(3)),
    ],
)
def test_spatial_entropy_counts_blobs(corners, expected):
    trace = looking(blobs(*corners))
    np.testing.assert_allclose(metrics.component_entropy(trace), expected, atol=1e-6, rtol=1e-5)


def test_spatial_entropy_of_uneven_blobs():
    grid = np.zeros((6, 6))
    grid[0, :3] = grid[5, 5] = 1
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert np.isclose(metrics.map_component_entropy(grid), expected)
    assert metrics.map_component_entropy(np.full((6, 6), 0.1)) == 0


def test_moving_tokens_changes_spatial_entropy_only():
    whole = blobs((2, 2), size=3)
    shuffled = np.random.default_rng(0).permutation(whole)
    before, after = looking(whole), looking(shuffled)
    np.testing.assert_allclose(
        metrics.visual_entropy(before), metrics.visual_entropy(after), rtol=1e-5
    )
    assert metrics.component_entropy(after)[0] > metrics.component_entropy(before)[0] + 0.5


def test_the_grid_keeps_padding_and_leaves_out_newlines_and_tiles():
    trace = looking(UNIFORM)
    cells = np.concatenate([trace.cells, np.full((3, 4), np.nan), grid_cells(2, 2)])
    cells[5] = np.nan
    blocks = np.array([0] * (NUMBER + 3) + [1] * 4)
    layout = trace.meta["layout"] | {"padding": [5]}
    tiled = replace(trace, cells=cells, blocks=blocks, meta={"layout": layout})
    np.testing.assert_array_equal(metrics.base_grid(tiled), np.arange(NUMBER).reshape(SIDE, SIDE))


# On target


def test_coverage_is_a_share_of_every_cell():
    covered = metrics.box_coverage(grid_cells(2, 2), [(0, 0, 0.5, 0.25), (0, 0.25, 0.25, 0.5)])
    np.testing.assert_allclose(covered, [0.75, 0, 0, 0], rtol=1e-5)
    twice = metrics.box_coverage(grid_cells(2, 2), [(0, 0, 1, 1), (0, 0, 1, 1)])
    np.testing.assert_allclose(twice, 1, rtol=1e-5)


def test_a_uniform_look_has_no_lift():
    inside = box_shares(grid_cells(SIDE, SIDE), [BOX])
    trace = looking(UNIFORM, inside)
    truth = metrics.box_coverage(trace.cells, [BOX])
    np.testing.assert_allclose(in_box_mass(trace, truth), [1 / 8, 1], rtol=1e-5)
    np.testing.assert_allclose(metrics.lift(trace, truth), [1, 8], rtol=1e-5)
    assert np.isnan(metrics.lift(trace, np.zeros(NUMBER))).all()


def test_window_ratio_compares_with_every_window_of_that_size():
    rng = np.random.default_rng(0)
    weights = rng.random(NUMBER)
    trace = looking(UNIFORM, weights / weights.sum())
    grid = weights.reshape(SIDE, SIDE)
    sums = [
        grid[row : row + 4, column : column + 2].sum()
        for row in range(SIDE - 3)
        for column in range(SIDE - 1)
    ]
    expected = grid[2:6, 2:4].sum() / np.mean(sums)
    np.testing.assert_allclose(metrics.window_ratio(trace, BOX), [1, expected], rtol=1e-5)


def test_pointing_game_takes_near_misses_and_leaves_out_sinks():
    beside, sink = np.eye(NUMBER)[2 * SIDE + 1], np.eye(NUMBER)[NUMBER - 1]
    inside = np.eye(NUMBER)[2 * SIDE + 2]
    trace = looking(inside, beside, 0.7 * sink + 0.3 * inside)
    assert metrics.pointing(trace, [BOX]).tolist() == [True, False, False]
    assert metrics.pointing(trace, [BOX], patches=1).tolist() == [True, True, False]
    without = sink.astype(bool)
    assert metrics.pointing(trace, [BOX], without=without).tolist() == [True, False, True]
    assert np.isclose(metrics.near_box(trace.cells, [BOX]).mean(), 1 / 8)


def test_boxes_become_shares_of_tokens():
    cells = grid_cells(2, 2)
    assert np.allclose(box_shares(cells, [(0, 0, 0.5, 0.5)]), [1, 0, 0, 0])
    assert np.allclose(box_shares(cells, [(0.25, 0, 0.75, 0.5)]), [0.5, 0.5, 0, 0])
    both = [(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)]
    assert np.allclose(box_shares(cells, both), [0.5, 0, 0, 0.5])
    assert box_shares(cells, []).sum() == 0


# Sinks


def test_activation_sinks_are_massive_where_the_first_token_is():
    rng = np.random.default_rng(0)
    first, states = rng.normal(size=(3, 512)), rng.normal(size=(3, 6, 512))
    first[1:, 7] = 2000
    states[2, 4, 7], states[2, 5, 8] = -2000, 2000
    dimensions = metrics.massive_dimensions(first)
    assert dimensions.tolist() == [7]
    found = metrics.activation_sinks(states, dimensions)
    assert np.argwhere(found).tolist() == [[2, 4]]
    assert not metrics.activation_sinks(states, np.zeros(0, int)).any()


def test_cosine_sinks_resemble_the_first_token():
    first = np.array([[1.0, 0, 0]])
    states = np.array([[[5.0, 0.1, 0], [1, 1, 0], [-1, 0, 0]]])
    assert metrics.cosine_sinks(states, first).tolist() == [[True, False, False]]


def test_value_sinks_draw_much_and_bring_little():
    attention = np.full((1, 1, NUMBER), 0.2 / NUMBER)
    attention[..., 3] = attention[..., 9] = 0.4
    norms = np.ones((1, 1, NUMBER))
    norms[..., 3] = norms[..., 30] = 0.01
    assert np.flatnonzero(metrics.value_sinks(attention, norms)).tolist() == [3]
    brought = metrics.contribution(attention, norms)[0]
    assert np.isclose(brought.sum(), 1)
    assert brought[9] / brought[3] == pytest.approx(100)


# Content, dynamics and change


def test_head_divergence_is_a_distance():
    rng = np.random.default_rng(0)
    heads = rng.normal(size=(2, 3, 4))
    moved = heads.copy()
    moved[1, 2] += [3, 0, 4, 0]
    found = metrics.sensitivity(heads, moved)
    expected = np.zeros((2, 3))
    expected[1, 2] = 5
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    relative = metrics.sensitivity(heads, np.zeros_like(heads), relative=True)
    np.testing.assert_allclose(relative, 1, rtol=1e-5)


def test_total_sensitivity_takes_the_top_of_every_layer():
    divergence = np.array([[1.0, 5, 2], [7, 0, 3]])
    assert metrics.total_sensitivity(divergence, 2) == 5 + 2 + 7 + 3


def test_token_entropy_of_even_and_single_layers():
    dynamics = np.array([[0.2, 0.9, 0.0], [0.2, 0, 0], [0.2, 0, 0], [0.2, 0, 0]])
    np.testing.assert_allclose(
        metrics.token_entropy(dynamics),
        [np.log(4), 0, np.log(4)],
        atol=1e-6,
        rtol=1e-5,
    )


def test_recall_counts_true_tokens_of_the_lowest_entropy():
    entropy = np.arange(10.0)
    truth = np.zeros(10)
    truth[[0, 5]] = 1, 0.5
    assert metrics.low_entropy_recall(entropy, truth) == pytest.approx(1 / 1.5)
    assert np.isnan(metrics.low_entropy_recall(entropy, np.zeros(10)))


def test_token_dynamics_are_the_largest_of_head_means():
    rows = np.random.default_rng(0).random((3, 2, 4, 5))
    trace = trace_of(rows, np.zeros((3, 2, 4, 4)))
    np.testing.assert_allclose(metrics.token_dynamics(trace), rows.mean(2).max(0), rtol=1e-5)


def test_divergence_is_zero_for_the_same_look_and_ln_n_for_uniform_and_single():
    plain, edited = looking(UNIFORM, ONE, share=0.2), looking(ONE, ONE, share=0.6)
    np.testing.assert_allclose(
        metrics.divergence(plain, edited), [np.log(NUMBER), 0], atol=1e-6, rtol=1e-5
    )
    np.testing.assert_array_equal(metrics.divergence(plain, plain), 0)


def test_next_token_divergence_survives_impossible_tokens():
    before, after = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    np.testing.assert_allclose(metrics.next_token_divergence(before, after), expected, rtol=1e-5)
    sure = np.array([0.0, -np.inf])
    assert metrics.next_token_divergence(sure, np.log([0.5, 0.5])) == pytest.approx(np.log(2))


def test_the_summary_has_a_number_for_every_layer():
    trace = looking(UNIFORM, ONE, blobs((0, 0), (5, 5)))
    curves = metrics.by_layer(trace, boxes=[BOX])
    assert all(values.shape == (3,) for values in curves.values())
    assert all(np.isfinite(values).all() for values in curves.values())
    assert "lift" not in metrics.by_layer(trace)
    raw, clean = curves["share"], metrics.by_layer(trace, without_sinks=True)["share"]
    assert clean[0] == raw[0]
    assert clean[1] < raw[1]


# Intervals


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
