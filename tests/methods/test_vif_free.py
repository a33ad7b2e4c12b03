"""Training-free VIF and the controls, on a model without an adapter."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.tiny import NUM_HEADS, tiny_model, tiny_session
from training.pretrain.processor import build_processor
from vif import methods
from vif.errors import InputError
from vif.methods.prompts import GENERIC
from vif.methods.vif_free import NUM_COMPONENTS, answer_map, posterior
from vif.model.attention import Tap
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.model.rows import Mix
from vif.question import Question
from vif.scenes import draw_scene
from vif.session import Session

QUESTION = "What colour is the star?"
INJECTED = ["vif-free", "uniform", "random", "oracle"]
BOXES = [(0.1, 0.2, 0.4, 0.5)]


@pytest.fixture(scope="module")
def bare():
    """A session without an adapter."""
    return Session(Backbone(tiny_model(), build_processor(), "tiny"))


def ask(session, image, names, **settings):
    settings = {"learning": (1, 2), "injection": (4, 5), "max_new_tokens": 4} | settings
    return session.ask(image, QUESTION, names, boxes=BOXES, **settings)


# The map


VISIBLE = torch.ones(1, 9, dtype=torch.bool)


def test_the_place_that_raises_an_answer_most_stands_out():
    gradient = torch.zeros(1, 9)
    gradient[0, 4] = 1e-3  # its size plays no part
    found = posterior(gradient, VISIBLE, 2.0)
    assert found.argmax() == 4
    assert float(found.sum()) == pytest.approx(1)
    assert torch.allclose(found, posterior(1000 * gradient + 5, VISIBLE, 2.0))
    assert found[0, 4] < posterior(gradient, VISIBLE, 3.0)[0, 4]


@pytest.mark.parametrize("value", [0.0, 3.0, float("nan"), float("inf")])
def test_an_answer_that_depends_on_no_place_gives_an_empty_map(value):
    assert posterior(torch.full((1, 9), value), VISIBLE, 2.0).sum() == 0
    assert posterior(torch.rand(1, 9), ~VISIBLE, 2.0).sum() == 0


def test_tokens_off_the_image_get_nothing():
    gradient = torch.rand(1, 12, generator=torch.Generator().manual_seed(0))
    visible = torch.tensor([[False] * 3 + [True] * 9])
    found = posterior(gradient, visible, 2.0)
    assert (found[0, :3] == 0).all()
    assert torch.allclose(found[:, 3:], posterior(gradient[:, 3:], VISIBLE, 2.0))


@pytest.mark.slow
def test_the_map_averages_those_of_all_answers_by_their_probability(bare, image):
    prompt = bare.backbone.encode(image, QUESTION, "")
    batch = Batch.make(bare.backbone, [prompt])
    request = methods.Request(batch, bare.defaults, bare.backbone, images=[image])
    options = {"candidates": 3, "probe": 0.5, "sharpness": 2.0}
    found = answer_map(request, options)
    scores = bare.backbone.model(**batch.inputs).logits[0, -1].softmax(-1)
    shares, answers = scores.topk(3)

    def logprob(weights, answer):
        last = torch.full((1,), batch.inputs["input_ids"].shape[1] - 1)
        mix = Mix(batch.columns, weights, torch.full((1, NUM_HEADS), 0.5), last)
        steered = bare.backbone.model(**batch.inputs, vif=EveryLayer(mix)).logits[0, -1]
        return float(steered.double().log_softmax(-1)[answer])

    number, step, expected = batch.columns.shape[1], 1e-2, 0
    uniform = torch.full((1, number), 1 / number)
    with torch.no_grad():
        for share, answer in zip(shares / shares.sum(), answers, strict=True):
            slope = [
                (logprob(uniform + step * one, answer) - logprob(uniform - step * one, answer))
                for one in torch.eye(number)
            ]
            expected += share * posterior(torch.tensor([slope]), uniform > 0, 2.0)
    assert torch.allclose(found, expected, atol=0.02 * float(expected.max()))


class EveryLayer(Tap):
    """One map in every layer but the first."""

    def __init__(self, mix):
        self.mixed = mix

    def mix(self, layer):
        return self.mixed if layer >= 1 else None


# The method


def test_alpha_zero_is_bit_equal_to_the_plain_model(bare, image):
    traces = ask(bare, image, ["plain", *INJECTED], alpha=0.0)
    for name in INJECTED:
        assert traces[name].tokens == traces["plain"].tokens
        assert np.array_equal(traces[name].logprobs, traces["plain"].logprobs)
        assert np.array_equal(traces[name].rows, traces["plain"].rows)


def test_every_injection_layer_gets_the_map_at_strength_alpha(bare, image):
    traces = ask(bare, image, INJECTED, alpha=0.3)
    for trace in traces.values():
        assert [m.layer for m in trace.mixtures] == [4, 5]
        for mixture in trace.mixtures:
            assert np.isclose(mixture.map.sum(), 1, atol=1e-5)
            assert np.allclose(mixture.strength, np.full(NUM_HEADS, 0.3))
            assert mixture.source == -1
    free, scattered = (traces[name].mixtures[0] for name in ("vif-free", "random"))
    assert free.means.shape == (NUM_COMPONENTS, 2)
    assert np.isclose(free.weights.sum(), 1, atol=1e-5)
    assert np.array_equal(free.sigmas, scattered.sigmas)
    assert np.array_equal(free.weights, scattered.weights)
    assert not np.allclose(free.means, scattered.means)
    assert np.ptp(traces["uniform"].mixtures[0].map) < 1e-7


def test_the_image_share_is_mixed_at_strength_alpha(bare, image):
    """(1 - alpha) * before + alpha, at the first injection layer, where rows are still the same."""
    traces = ask(bare, image, ["plain", *INJECTED], alpha=0.4)
    before = traces["plain"].mass[0, 4, :, 0]
    for name in INJECTED:
        assert np.allclose(traces[name].mass[0, 4, :, 0], 0.6 * before + 0.4, atol=1e-5)


def test_generated_rows_are_steered_unless_the_phase_is_prefill(bare, image):
    for name in INJECTED:
        both, prefill = (
            ask(bare, image, [name], alpha=1.0, phase=phase)[name].mass[:, 4:, :, 0]
            for phase in ("both", "prefill")
        )
        assert np.allclose(both, 1, atol=1e-5)
        assert np.allclose(prefill[0], 1, atol=1e-5)
        assert (prefill[1:] < 0.999).all()


def test_earlier_layers_are_untouched(bare, image):
    traces = ask(bare, image, ["plain", "vif-free"], alpha=1.0)
    plain, free = (traces[name].rows[0] for name in ("plain", "vif-free"))
    assert np.array_equal(plain[:4], free[:4])
    assert not np.allclose(plain[4:], free[4:])


def test_a_left_padded_batch_equals_single_runs(bare):
    questions = [QUESTION, "Is there a red heart in the picture near the blue ring?"]
    items = [Question(draw_scene(i).image, q, "", BOXES) for i, q in enumerate(questions)]
    settings = replace(bare.defaults, max_new_tokens=4)
    together = bare.ask_batch(items, INJECTED, settings)
    for i, item in enumerate(items):
        alone = bare.ask_batch([item], ["vif-free", "uniform", "oracle"], settings)
        for name, traces in alone.items():
            one, many = traces[0], together[name][i]
            assert one.tokens == many.tokens
            assert np.allclose(one.rows, many.rows, atol=1e-5)
            assert np.allclose(one.mixtures[0].map, many.mixtures[0].map, atol=1e-5)


def test_runs_repeat_and_leave_nothing_behind(bare, image):
    before = ask(bare, image, ["plain"])["plain"]
    first, again = (ask(bare, image, ["vif-free"], alpha=1.0)["vif-free"] for _ in range(2))
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(before.rows, ask(bare, image, ["plain"])["plain"].rows)


@pytest.mark.parametrize("name", ["plain", *INJECTED])
def test_extra_passes_are_declared(bare, image, name):
    prefills = []
    handle = bare.backbone.model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: prefills.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        ask(bare, image, [name], max_new_tokens=2)
    finally:
        handle.remove()
    assert sum(length > 1 for length in prefills) == 1 + methods.find(name).extra_passes


def test_an_adapter_changes_nothing_about_the_method(bare, image):
    with_adapter = tiny_session()
    one, two = (ask(s, image, ["vif-free"], alpha=0.5)["vif-free"] for s in (bare, with_adapter))
    assert np.array_equal(one.rows, two.rows)


def test_a_map_of_zeros_is_not_injected(bare, image, monkeypatch):
    monkeypatch.setattr(
        "vif.methods.vif_free.posterior", lambda gradient, *_: torch.zeros(gradient.shape).double()
    )
    traces = ask(bare, image, ["plain", "vif-free"], alpha=1.0)
    assert np.array_equal(traces["plain"].rows, traces["vif-free"].rows)
    assert (traces["vif-free"].mixtures[0].strength == 0).all()


def test_the_generic_question_keeps_image_and_context(bare, image):
    prompt = bare.backbone.encode(image, QUESTION, "An older picture.")
    batch = Batch.make(bare.backbone, [prompt])
    request = methods.Request(batch, bare.defaults, bare.backbone, images=[image])
    other = request.with_question(GENERIC)
    assert other.prompts[0].context == prompt.context
    assert other.prompts[0].text == GENERIC
    features = [b.inputs["mm_encoder_outputs"]["image"] for b in (batch, other)]
    assert torch.equal(*(f.pooler_output[0] for f in features))


def test_the_learned_method_names_the_free_one(bare, image):
    with pytest.raises(InputError, match="vif-free"):
        bare.ask(image, QUESTION, ["vif"])
    with pytest.raises(InputError, match="true boxes"):
        bare.ask(image, QUESTION, ["oracle"])
