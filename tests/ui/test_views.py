import re

import gradio as gr
import numpy as np
import pytest

from tests.fake_page import VIEW, ask, clicked
from tests.fake_session import HEADS, LAYERS, FakeSession
from vif.trace import Trace
from vif.ui.actions import mixture_events as mixing
from vif.ui.actions import redraw
from vif.ui.html.cards import answer_cards, empty_cards
from vif.ui.html.maps import caption, contact_sheet, heatmaps, role_of
from vif.ui.html.markup import visible_token
from vif.ui.html.mixtures import mixture_panel
from vif.ui.state.examples import plan_strip
from vif.ui.state.form import Truth
from vif.ui.state.result import SHOWS, MixtureView, Result, View

LONG_TEXT = "word " * 120


@pytest.fixture
def result():
    return ask()


@pytest.fixture
def differing():
    return ask(context=LONG_TEXT)


def test_before_the_first_run_the_page_says_what_will_appear():
    assert "answer twice" in empty_cards()


def test_what_a_model_or_a_person_wrote_is_escaped():
    evil = "<img src=x onerror=alert(1)>"
    session = FakeSession(answers={evil: evil})
    result = ask(session=session, truths=[Truth(evil, evil)], question=evil)
    shown = answer_cards(result, View()) + heatmaps(result, View()) + redraw.notice(evil, True)
    assert "&lt;img src=x" in shown
    assert "<img src=x" not in shown


def test_each_token_is_a_button_with_its_probability(result):
    html = answer_cards(result, View(token=1))
    trace = result.traces["plain"]
    assert html.count('aria-pressed="true"') == 2
    for probability in np.exp(trace.logprobs):
        assert f"<small>{probability:.2f}</small>" in html


def test_the_first_difference_is_marked_in_both_answers(differing, result):
    assert differing.divergence("vif") == differing.divergence("plain") == 0
    assert answer_cards(differing, View()).count("vl-mark") == 2
    assert "The answers differ" in answer_cards(differing, View())
    assert result.divergence("vif") is None
    assert "vl-mark" not in answer_cards(result, View())


def test_answers_of_unequal_length_differ_at_the_end(result):
    plain, vif = result.traces.values()
    shorter = Trace(**(vars(vif) | {"tokens": vif.tokens[:-1]}))
    result = Result(result.picture, result.thumb, {"plain": plain, "vif": shorter})
    assert result.divergence("vif") == len(plain.tokens) - 1


def test_a_caption_names_layer_head_and_token(result):
    trace = result.traces["plain"]
    assert caption(trace, View(layer=5)) == f"Layer 5, mean of heads, token 1 “{trace.tokens[0]}”"
    assert caption(trace, View(head=2)).startswith("Mean of all layers, head 2")


def test_a_token_beyond_a_short_answer_is_said_to_be_its_last(result):
    assert "(its last)" in caption(result.traces["plain"], View(token=99))


def test_the_maps_share_one_scale(result):
    html = heatmaps(result, View(layer=6))
    tops = re.findall(r"per image token, 0 – ([\d.]+)\.", html)
    assert len(tops) == 2
    assert tops[0] == tops[1]
    assert "Difference: VIF − Plain" in html


def test_the_sheet_shows_every_layer_of_every_answer_with_its_role(result):
    html = contact_sheet(result, View(layer=6))
    assert html.count("data-pick") == 2 * LAYERS
    assert html.count('aria-pressed="true"') == 2
    assert html.count('<em class="vl-key vl-injection">') == 2 * 3
    assert html.count('<em class="vl-key vl-learning">') == 2 * 2


def test_a_stride_leaves_layers_out():
    trace = ask(stride=2).traces["vif"]
    roles = [role_of(trace, layer) for layer in range(LAYERS)]
    assert roles == [[], [], [], ["learning"], [], ["injection"], [], ["injection"]]


def test_the_mixture_shows_the_strongest_components_and_every_head(result):
    html = mixture_panel(result, View(), MixtureView(index=1, shown=3, chosen=2))
    assert html.count('class="vl-component') == 3
    assert html.count("vl-chosen") == 2
    assert html.count("head ") >= HEADS
    assert "Injection layer 6" in html


def test_samples_show_how_unsure_the_map_is():
    assert "How unsure" not in mixture_panel(ask(), View(), MixtureView())
    assert "How unsure" in mixture_panel(ask(samples=4), View(), MixtureView())


def test_components_are_round_in_image_coordinates(result):
    html = mixture_panel(result, View(), MixtureView(shown=1))
    ring = r'class="vl-inner" cx="[\d.]+" cy="[\d.]+" rx="([\d.]+)" ry="([\d.]+)"'
    rx, ry = re.search(ring, html).groups()
    height, width = result.picture.shape[:2]
    assert float(rx) / float(ry) == pytest.approx(width / height, rel=0.01)


def test_tiles_are_shown_instead_of_the_whole_image(result):
    trace = result.first
    blocks = np.arange(len(trace.blocks)) % 2
    tiled = Trace(**(vars(trace) | {"blocks": blocks}))
    assert Result(result.picture, result.thumb, {"plain": tiled}).has_tiles
    values = np.where(blocks == 1, 2.0, 1.0)
    for scale, level in (("whole", 1), ("tiles", 2)):
        field = View(scale=scale).field(tiled, values, result.picture)
        assert set(field[~np.isnan(field)]) == {level}


def test_picking_a_token_changes_cards_maps_and_curves(result):
    token, cards, maps, _, curves = redraw.take_token(clicked(1), result, 0, *VIEW)
    assert token == 1
    assert "How sure at token 2" in cards
    assert "token 2" in maps
    assert len(curves.data) == 4


def test_picking_a_layer_shows_it_large(result):
    layer, all_layers, maps, sheet = redraw.take_layer(clicked(3), result, 0, *VIEW)
    assert (layer, all_layers) == (3, False)
    assert "Layer 3, mean of heads" in maps
    assert sheet.props == {"chosen": 3}


def test_picking_a_component_twice_lets_it_go(result):
    chosen, _, html, *_ = mixing.take_component(clicked(1), result, 0, *VIEW, "vif", 0, 4, None, {})
    assert chosen == 1
    assert "vl-component vl-chosen" in html
    chosen, _, html, *_ = mixing.take_component(clicked(1), result, 0, *VIEW, "vif", 0, 4, 1, {})
    assert chosen is None
    assert "vl-component vl-chosen" not in html


@pytest.mark.parametrize("index", [-1, 10**9, None, "0", 1.5, True, [0]])
def test_nonsense_from_the_browser_changes_nothing(result, index):
    assert redraw.take_token(clicked(index), result, 0, *VIEW)[0] == gr.skip()


def test_before_a_result_no_control_fails():
    assert redraw.draw_maps(None, 0, *VIEW) == (gr.skip(), gr.skip())
    assert mixing.draw_mixture(None, 0, *VIEW, "", 0, 4, None, {}) == gr.skip()
    assert redraw.take_layer(clicked(0), None, 0, *VIEW)[0] == gr.skip()
    assert list(redraw.save(None, 0, *VIEW)) == []


@pytest.mark.parametrize("token", [" ", "\n", "", "a b"])
def test_no_token_is_invisible(token):
    assert visible_token(token).strip()


def test_the_plan_marks_both_ranges_and_survives_empty_fields():
    html = plan_strip(8, (3, 4), (5, 7), 1)
    assert html.count("vl-is-learning") == 2
    assert html.count("vl-is-injection") == 3
    assert "vl-is" not in plan_strip(8, (None, 4), (7, 5), 0)


def test_the_plan_looks_at_no_more_than_the_model_s_layers():
    html = plan_strip(8, (-(10**12), 10**12), (5, 10**12), 2)
    assert html.count("vl-is-learning") == 4
    assert html.count("vl-is-injection") == 2


def with_sink(result, token=5, share=0.6):
    """The plain answer with one token that draws most of the look in every layer and head."""
    plain = result.traces["plain"]
    rows = plain.rows * (1 - share)
    rows[..., token] += share * plain.rows.sum(-1)
    traces = result.traces | {"plain": Trace(**(vars(plain) | {"rows": rows}))}
    return Result(result.picture, result.thumb, traces)


def test_sinks_are_found_in_the_answer_that_others_are_compared_with(result):
    assert not result.sinks("plain", View())[5]
    sinks = with_sink(result).sinks("plain", View())
    assert sinks[5]
    assert sinks.sum() == 1


def test_marked_sinks_are_crossed_and_their_mass_is_printed(result):
    html = heatmaps(with_sink(result), View(layer=6, show="marked"))
    assert html.count('class="vl-cross"') == 2
    assert "1 sink, crossed, hold" in html
    assert "attention-column test" in html


def test_sinks_taken_out_leave_the_rest_and_print_what_was_removed(result):
    result = with_sink(result)
    view, plain = View(layer=6, show="removed"), result.traces["plain"]
    values = view.values(plain, 6, result.sinks("plain", view))
    raw = view.raw(plain, 6)
    assert values[5] == 0
    np.testing.assert_allclose(np.delete(values, 5), np.delete(raw, 5), rtol=1e-5)
    assert f"<b>{round(100 * raw[5])} %</b> of the row" in heatmaps(result, view)
    shares = View(layer=6, show="removed", normalised=True).values(
        plain, 6, result.sinks("plain", view)
    )
    assert shares.sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("show", ["marked", "removed"])
def test_the_largest_of_several_heads_is_no_share_of_a_row(result, show):
    view = View(layer=6, head="max", show=show)
    html = heatmaps(with_sink(result), view) + contact_sheet(with_sink(result), view)
    assert "largest share of any head per image token" in html
    assert "1 sink, crossed" in html
    assert " %" not in html
    assert "of the row" not in html


def test_without_sinks_the_page_says_so(result):
    clean = with_sink(result, share=0.0)
    flat = Trace(**(vars(clean.traces["plain"]) | {"rows": np.ones_like(clean.first.rows) / 200}))
    clean = Result(result.picture, result.thumb, {"plain": flat})
    assert "No token of the image is a sink." in heatmaps(clean, View(show="removed"))


def test_an_answer_that_read_other_tokens_is_shown_by_its_own(result):
    vif = result.traces["vif"]
    kept = slice(0, 72)
    parts = {k: getattr(vif, k)[kept] for k in ("centres", "cells", "blocks")}
    crop = Trace(**(vars(vif) | parts | {"rows": vif.rows[..., kept], "mixtures": []}))
    truth = Truth("?", "red", ((0.2, 0.2, 0.4, 0.4),))
    mixed = Result(result.picture, result.thumb, result.traces | {"vif": crop}, truth)
    for show in SHOWS:
        view = View(layer=6, show=show)
        shown = heatmaps(mixed, view) + contact_sheet(mixed, view) + answer_cards(mixed, view)
        assert ("no token shown here sees" in shown) is (show != "difference")
