import numpy as np

from vif.charts import curves, style

SHARE = {"plain": np.linspace(0.9, 0.4, 8), "vif": np.linspace(0.9, 0.6, 8)}
ENTROPY = {"plain": np.linspace(0.5, 0.9, 8), "vif": np.linspace(0.5, 0.7, 8)}


def words(figure):
    return " ".join(note.text for note in figure.layout.annotations)


def test_each_answer_has_a_curve_in_both_panels():
    figure = curves.attenuation(SHARE, ENTROPY, (3, 4), (5, 7))
    assert [trace.name for trace in figure.data] == ["Plain", "VIF"] * 2
    np.testing.assert_allclose(figure.data[1].y, SHARE["vif"], rtol=1e-5)
    np.testing.assert_allclose(figure.data[2].y, ENTROPY["plain"], rtol=1e-5)
    assert [trace.showlegend for trace in figure.data] == [True, True, False, False]


def test_ranges_are_shaded_in_both_panels_and_named_once():
    figure = curves.attenuation(SHARE, ENTROPY, (3, 4), (5, 7))
    spans = {(shape.x0, shape.x1) for shape in figure.layout.shapes}
    assert len(figure.layout.shapes) == 4
    assert spans == {(2.55, 4.45), (4.55, 7.45)}
    assert words(figure).count("learning 3–4") == 1
    assert words(figure).count("injection 5–7") == 1


def test_without_ranges_nothing_is_shaded():
    assert not curves.attenuation(SHARE, ENTROPY).layout.shapes


def test_the_share_axis_always_runs_from_zero_to_one():
    flat = {"plain": np.full(8, 0.01)}
    figure = curves.attenuation(flat, flat)
    assert figure.layout.yaxis.range == (0, 1.04)


def test_every_axis_has_a_title():
    figure = curves.attenuation(SHARE, ENTROPY)
    titles = (figure.layout.xaxis2.title, figure.layout.yaxis.title, figure.layout.yaxis2.title)
    assert all(title.text for title in titles)


def test_answers_are_told_apart_without_colour():
    plain, vif = curves.attenuation(SHARE, ENTROPY).data[:2]
    assert plain.line.dash != vif.line.dash
    assert plain.marker.symbol != vif.marker.symbol


def test_a_method_keeps_its_colour_at_every_position():
    assert style.method_colour("vif", 3) == style.method_colour("vif", 0)
    assert style.method_colour("oracle", 0) != style.method_colour("random", 1)


def test_a_deep_model_has_few_ticks():
    deep = {"plain": np.linspace(1, 0, 32)}
    assert curves.attenuation(deep, deep).layout.xaxis.dtick == 2


def test_a_known_place_adds_a_panel_that_shows_small_shares():
    small = {"plain": np.full(8, 0.01), "vif": np.linspace(0.01, 0.05, 8)}
    figure = curves.attenuation(SHARE, ENTROPY, asked=small)
    assert len(figure.data) == 6
    assert 0.05 < figure.layout.yaxis3.range[1] < 0.1
    assert figure.layout.height > curves.attenuation(SHARE, ENTROPY).layout.height
