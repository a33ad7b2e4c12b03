"""Models some of whose layers have no attention: nothing is shown, asked or claimed of these."""

import json
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from tests.probes.test_sweep import single
from vif import metrics, probes, report
from vif.bench.controls import gives_more_image, matched_strength
from vif.charts import curves
from vif.check import build, tiny_adapter, tiny_backbone
from vif.check.ramp import ramp_image
from vif.draw import render
from vif.errors import InputError
from vif.methods import names
from vif.model.backbone import Backbone
from vif.probes.sweep import sweep
from vif.question import Question
from vif.session import Session
from vif.trace import Trace
from vif.ui.state.payload import payload_of
from vif.ui.state.result import Result

QUESTION, ATTEND, OTHER = "what colour is the star ?", [2, 5], [0, 1, 3, 4]
BOX = (0.1, 0.1, 0.6, 0.6)


@pytest.fixture(scope="module")
def image():
    return ramp_image((100, 60))


@pytest.fixture(scope="module")
def session():
    return Session(tiny_backbone("qwen3_5"), tiny_adapter())


@pytest.fixture(scope="module")
def traces(session, image):
    return session.ask(image, QUESTION, ["plain", "vif"], max_new_tokens=3)


def test_rows_are_known_where_there_is_attention_and_nowhere_else(session, traces, tmp_path):
    assert session.backbone.attention_layers == tuple(ATTEND)
    traces["vif"].save(tmp_path / "vif.npz")
    for trace in (*traces.values(), Trace.load(tmp_path / "vif.npz")):
        assert trace.attention_layers.tolist() == ATTEND
        assert np.isnan(trace.rows[:, OTHER]).all()
        assert np.isnan(trace.mass[:, OTHER]).all()
        assert np.allclose(trace.mass[:, ATTEND].sum(-1), 1, atol=1e-5)
        assert [trace.nearest_layer(n) for n in range(6)] == [2, 2, 2, 2, 5, 5]


def test_metrics_name_a_layer_without_attention_as_unknown(traces):
    for name, curve in metrics.by_layer(traces["vif"], boxes=[BOX]).items():
        assert np.isnan(curve[OTHER]).all(), name
        assert np.isfinite(curve[ATTEND]).all(), name
    trace = traces["plain"]
    share = metrics.image_share(trace)
    assert metrics.attenuation(trace) == pytest.approx(1 - share[5] / share[ATTEND].max())
    entropy = metrics.token_entropy(metrics.token_dynamics(trace))
    assert np.isfinite(entropy).all()
    assert entropy.max() <= np.log(2) + 1e-9
    assert metrics.mean_weights(trace).sum() == pytest.approx(1)


def test_files_and_figures_hold_nothing_that_is_not_a_number(traces):
    found = json.dumps(report.as_json(traces), allow_nan=False)
    assert json.loads(found)["attenuation"]["plain"][:2] == [None, None]
    share = {name: metrics.image_share(trace) for name, trace in traces.items()}
    asked = {"plain": metrics.in_box_mass(traces["plain"], np.ones(traces["plain"].rows.shape[-1]))}
    figure = curves.attenuation(share, share, (1, 2), (3, 5), asked=asked)
    assert list(figure.data[0].x) == ATTEND
    assert "NaN" not in figure.to_json()
    rows = traces["plain"].rows
    assert np.allclose(render.pick_map(rows, 0), rows[0, ATTEND].mean((0, 1)))


def test_the_page_shows_the_layers_that_have_attention(traces, image):
    data = payload_of(Result(np.asarray(image), traces))
    assert data["attention"] == ATTEND
    assert set(data["roles"]["learning"] + data["roles"]["injection"]) <= set(ATTEND)
    assert data["opening"] in ATTEND
    json.dumps(data, allow_nan=False)


# What these read is a tower of CLIP or SigLIP.
TOWERS = ("flowcut", "paint", "vflowopt")


@pytest.mark.parametrize("method", [name for name in names() if name not in TOWERS])
def test_every_method_answers_and_injects_only_where_there_is_attention(session, image, method):
    places = {"boxes": [BOX], "look": [BOX]}
    trace = session.ask(image, QUESTION, [method], max_new_tokens=2, **places)[method]
    assert np.isfinite(trace.rows[:, ATTEND]).all()
    assert {mixture.layer for mixture in trace.mixtures} <= set(ATTEND)


def test_ranges_count_layers_with_attention(session, image):
    settings = session.checked(
        replace(session.defaults, learning=(0, 1), injection=(2, 5), stride=2)
    )
    assert settings.injection_layers == [2]
    assert session.checked(replace(settings, stride=1)).injection_layers == ATTEND
    with pytest.raises(
        InputError, match=r"3 to 4 contains no layer with attention; .* in layers 2, 5"
    ):
        session.checked(replace(settings, injection=(3, 4)))
    # Hidden states are there in every layer, and VIF reads those.
    found = session.ask(image, QUESTION, ["vif"], learning=(0, 1), max_new_tokens=1)["vif"]
    assert [(mixture.source, mixture.layer) for mixture in found.mixtures] == [(0, 5)]


@pytest.mark.parametrize("method", ["vif", "vif-free", "uniform"])
def test_the_sweep_tries_what_can_be_steered(session, image, method):
    found = sweep(session, Question(image, QUESTION), method=method, answer="red star")
    known = [(2, 2), (2, 5), (5, 5)]
    assert sorted(zip(*np.nonzero(~np.isnan(found.change)), strict=True)) == known
    assert found.best in known
    settings = replace(session.defaults, injection=(4, 5))
    expected = single(session, image, method, settings, "red star", QUESTION)
    assert found.plain + found.change[5, 5] == pytest.approx(expected, abs=5e-5)


def test_probes_say_what_they_cannot_take_away(session, image):
    for run in (
        lambda: probes.exit_sweep(session, Question(image, QUESTION)),
        lambda: probes.deletion_curve(session, Question(image, QUESTION), np.ones(6)),
    ):
        with pytest.raises(InputError, match="also pass the image on to the text"):
            run()
    found = probes.knockout(session, Question(image, QUESTION), window=1)
    assert np.allclose(found.change[:, OTHER], 0, atol=1e-3)
    heads = probes.head_divergence(session, Question(image, QUESTION))
    assert np.isnan(heads.divergence[OTHER]).all()
    assert heads.total == pytest.approx(np.sort(heads.divergence[ATTEND])[:, -heads.top :].sum())
    json.dumps(heads.as_json(), allow_nan=False)


def test_controls_leave_layers_without_attention_alone():
    share, base = [None, 0.5, None, 0.4], [None, 0.2, None, 0.4]
    assert matched_strength(share, base) == pytest.approx([0, 0.375, 0, 0])
    assert gives_more_image(share, base)


class Own(nn.Module):
    """Mixes tokens in its own way."""

    def forward(self, hidden_states, **_):
        return hidden_states, None


def test_a_layer_that_should_have_attention_and_reports_none_is_refused():
    model, processor = build("qwen3_5")
    model.get_decoder().layers[2].self_attn = Own()
    with pytest.raises(InputError, match=r"layers \[2\] do not go through"):
        Backbone(model, processor, "own attention")


def test_a_model_without_any_attention_is_refused():
    model, processor = build("qwen3_5")
    model.config.get_text_config().layer_types = ["conv"] * 6
    with pytest.raises(InputError, match="none of its layers has softmax attention"):
        Backbone(model, processor, "recurrent")
