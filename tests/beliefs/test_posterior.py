"""Prior and posterior against what is injected, what training reads, and stock hidden states."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_session
from training.data.encoding import ANSWER, QUESTION, Encoder
from training.data.records import Record, Turn
from vif.adapter.mixture import grid_centres
from vif.beliefs.belief import LatentMap
from vif.beliefs.likeliest import likeliest_answers
from vif.beliefs.posterior import beliefs, condition, overlap
from vif.errors import InputError
from vif.methods.evidence import FIRST_LAYER, log_likelihood
from vif.model.attention import KEYWORD, Tap
from vif.model.batch import Batch
from vif.model.generation import Cancelled
from vif.model.rows import Mix
from vif.question import Question
from vif.session import Session

ASKED = "What colour is the star?"


@pytest.fixture(scope="module")
def found(session, image):
    return beliefs(session, Question(image, ASKED), ["red", "top left"], samples=2)


def test_the_prior_is_what_vif_injects(session, image, found):
    trace = session.ask(image, ASKED, ["vif"], max_new_tokens=1)["vif"]
    for mixture in trace.mixtures:
        belief = found.prior[mixture.source]
        assert belief.mean.map == pytest.approx(mixture.map, abs=1e-5)
        assert belief.mean.means == pytest.approx(mixture.means, abs=1e-4)
        assert belief.mean.sigmas == pytest.approx(mixture.sigmas, abs=1e-4)
        assert (belief.kl, belief.overlap) == (0, 1)


def test_the_posterior_is_the_adapters_own_on_stock_hidden_states(session, image, found):
    backbone, adapter = session.backbone, session.adapter
    prompt = backbone.encode(image, ASKED)
    end = backbone.processor.tokenizer.eos_token_id
    tail = torch.tensor([[*backbone.answer_ids("top left"), end]])
    ids = torch.cat([prompt.inputs["input_ids"], tail], 1)
    states = backbone.model(
        input_ids=ids, pixel_values=prompt.inputs["pixel_values"], output_hidden_states=True
    ).hidden_states
    is_image = ids == backbone.image_token_id
    place = torch.arange(ids.shape[1])[None]
    answer = place >= prompt.length
    question = (place >= prompt.question.start) & ~answer
    for layer, belief in found.posteriors[1].items():
        with torch.no_grad():
            own = adapter.infer(states[layer + 1], is_image, question, answer)
        assert belief.kl == pytest.approx(float(own.kl), rel=1e-3)
        assert belief.mean.map == pytest.approx(own.map[0].numpy(), abs=1e-5)
        shared = np.minimum(belief.mean.map, found.prior[layer].mean.map).sum()
        assert belief.overlap == pytest.approx(shared)


@pytest.mark.parametrize("answer", ["red", "top left"])
def test_answers_are_read_as_training_reads_them(session, image, answer):
    backbone = session.backbone
    record = Record("one", "image.png", [Turn(ASKED, ASKED, answer)])
    item = Encoder(backbone).encode(0, image, [record], lambda *_: None)
    (row,) = item.rows
    end = backbone.processor.tokenizer.eos_token_id
    assert row.ids[row.part == ANSWER].tolist() == [*backbone.answer_ids(answer), end]
    prompt = backbone.encode(image, ASKED)
    asked = prompt.inputs["input_ids"][0, prompt.question.start :]
    assert row.ids[row.part == QUESTION].tolist() == asked.tolist()


def test_an_answer_alone_is_as_in_a_batch(session, image, found):
    alone = beliefs(session, Question(image, ASKED), ["red"], samples=0)
    for layer, belief in alone.posteriors[0].items():
        batched = found.posteriors[0][layer]
        assert belief.kl == pytest.approx(batched.kl, rel=1e-3)
        assert belief.mean.map == pytest.approx(batched.mean.map, abs=1e-5)
        assert belief.probability == pytest.approx(batched.probability, rel=1e-3)


def test_samples_are_seeded_and_differ_from_their_mean(session, image, found):
    again = beliefs(session, Question(image, ASKED), ["red", "top left"], samples=2)
    other = replace(session.defaults, seed=1)
    changed = beliefs(
        session, Question(image, ASKED), ["red", "top left"], samples=2, settings=other
    )
    for layer, belief in found.prior.items():
        assert len(belief.samples) == 2
        first = belief.samples[0].map
        assert first == pytest.approx(again.prior[layer].samples[0].map)
        assert np.abs(first - belief.mean.map).max() > 1e-4
        assert np.abs(first - changed.prior[layer].samples[0].map).max() > 1e-4


def test_without_an_answer_the_models_own_are_read(session, image):
    plain = session.ask(image, ASKED, ["plain"], max_new_tokens=8)["plain"]
    special = session.backbone.processor.tokenizer.all_special_tokens
    likely = [(word, p) for word, p in plain.alternatives[0] if word not in special]
    answers = likeliest_answers(session, Question(image, ASKED))
    assert [answer.split()[0] for answer in answers] == [word for word, _ in likely[:3]]
    found = beliefs(session, Question(image, ASKED), samples=0)
    assert [b[1].answer for b in found.posteriors] == answers
    for by_layer, (_, p) in zip(found.posteriors, likely, strict=False):
        # The answer's probability is its first token's times the rest's.
        assert 0 < by_layer[1].probability <= p + 1e-6


def test_overlap_is_one_of_equal_and_none_of_disjoint_maps():
    assert overlap(np.array([0.2, 0.8]), np.array([0.2, 0.8])) == pytest.approx(1)
    assert overlap(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [("", "The answer is empty"), (" \t", "is empty"), ("zebra", "for a word of the answer")],
)
def test_an_answer_without_tokens_gives_one_sentence(session, image, answer, words):
    with pytest.raises(InputError, match=words):
        beliefs(session, Question(image, ASKED), [answer])


def test_a_special_token_that_was_typed_is_text(session, image):
    with pytest.raises(InputError, match="no token for a word of the answer '< image>'"):
        beliefs(session, Question(image, ASKED), ["<image>"])


def test_without_an_adapter_beliefs_are_refused(session, image):
    with pytest.raises(InputError, match="need a VIF adapter, and none is loaded"):
        beliefs(Session(session.backbone), Question(image, ASKED))


def test_reading_beliefs_can_be_stopped(session, image):
    cancel = threading.Event()
    cancel.set()
    for answers in ((), ("red",)):
        with pytest.raises(Cancelled):
            beliefs(session, Question(image, ASKED), answers, cancel=cancel)


def test_what_the_adapter_was_trained_on_is_told_where_it_says_so(session, image, found):
    assert found.trained_on == session.adapter.config.trained_on
    told = tiny_session()
    told.adapter.config = replace(told.adapter.config, trained_on="answers alone")
    assert beliefs(told, Question(image, ASKED), ["red"], samples=0).trained_on == "answers alone"


def test_a_mixture_after_an_observation_is_bayes_rule():
    centres = grid_centres(3, 3)
    draw = LatentMap(
        np.array([[1 / 6, 1 / 6], [5 / 6, 5 / 6]]),
        np.array([0.05, 0.05]),
        np.array([0.5, 0.5]),
        np.eye(9)[[0, 8]].sum(0) / 2,
    )
    said = torch.full((9,), -1.0)
    said[8] = 1.0
    after = condition(draw, said, centres)
    expected = draw.map * np.exp(said.numpy())
    assert after.map == pytest.approx(expected / expected.sum(), abs=1e-5)
    odds = np.exp(2.0)
    assert after.weights == pytest.approx([1 / (1 + odds), odds / (1 + odds)], abs=1e-3)
    assert after.means == pytest.approx(draw.means, abs=0.02)


def test_an_observation_that_says_nothing_changes_no_map(found):
    belief = found.prior[1].mean
    centres = torch.from_numpy(np.asarray(found.centres))
    same = condition(belief, torch.zeros(len(belief.map)), centres)
    assert same.map == pytest.approx(belief.map, abs=1e-6)
    assert same.weights == pytest.approx(belief.weights, abs=1e-5)


def test_evidence_of_an_answer_of_several_tokens_is_the_gradient_of_all_of_them(session, image):
    backbone = session.backbone
    prompt, ids = backbone.encode(image, ASKED), backbone.answer_ids("top left")
    assert len(ids) == 2
    batch = Batch.make(backbone, [prompt])
    found = log_likelihood(backbone.model, batch, backbone.num_heads, [ids])
    last = batch.inputs["input_ids"].shape[1] - 1
    tail = torch.tensor([ids[:-1]])
    inputs = dict(batch.inputs)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], tail], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    weights = torch.full((1, batch.columns.shape[1]), 1 / batch.columns.shape[1])
    weights.requires_grad_(True)
    share = torch.full((1, backbone.num_heads), 0.8)
    mix = Mix(batch.columns, weights, share, torch.tensor([last]))
    with torch.enable_grad():
        logits = backbone.model(**inputs, **{KEYWORD: _From(mix, FIRST_LAYER)}).logits[0, last:]
        total = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum()
        gradient = torch.autograd.grad(total, weights)[0].double()
    gap = gradient - gradient.mean()
    gain = min(0.8 * float(gap.max()), 1.0)
    assert torch.allclose(found, 2 * gain * gap / gap.std(correction=0), rtol=1e-3, atol=1e-5)


class _From(Tap):
    """One map in every layer from a first one on."""

    def __init__(self, mix, first):
        self.mixed, self.first = mix, first

    def mix(self, layer):
        return self.mixed if layer >= self.first else None
