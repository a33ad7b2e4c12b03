"""Answering one question: recording and steering are exact, and the model is left unchanged."""

import threading

import numpy as np
import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from tests.support.tiny import NUM_HEADS, NUM_LAYERS, tiny_adapter, tiny_model
from training.pretrain.processor import build_processor
from vif.model.attention import KEYWORD, NAME, attention
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.model.generation import Cancelled, generate
from vif.question import Question
from vif.recording import Recorder
from vif.scenes import draw_scene, unrelated_text
from vif.session import Session

QUESTION = "What colour is the star?"


def stock_answer(image, question, steps):
    """Tokens and log-probabilities of an unmodified model."""
    model, processor = tiny_model().eval(), build_processor()
    content = [{"type": "image"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    inputs = processor(text=[text], images=[image], return_tensors="pt")
    out = model.generate(
        **inputs,
        max_new_tokens=steps,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    tokens = out.sequences[0, inputs["input_ids"].shape[1] :]
    scores = torch.stack(out.scores)[:, 0].float().log_softmax(-1)
    return tokens, scores.gather(1, tokens[:, None]).squeeze(1)


def test_plain_and_alpha_zero_are_bit_equal_to_the_untouched_model(session, image):
    tokens, logprobs = stock_answer(image, QUESTION, 6)
    traces = session.ask(image, QUESTION, ["plain", "vif"], alpha=0.0, max_new_tokens=6)
    decode = session.backbone.processor.tokenizer.decode
    for trace in traces.values():
        assert trace.tokens == [decode([t]) for t in tokens]
        assert np.array_equal(trace.logprobs, logprobs.numpy())
    assert np.array_equal(traces["plain"].rows, traces["vif"].rows)


def test_vif_changes_something(session, image):
    traces = session.ask(image, QUESTION, ["plain", "vif"], alpha=1.0, max_new_tokens=3)
    assert np.abs(traces["plain"].rows - traces["vif"].rows).max() > 1e-3
    below = slice(0, 3)
    assert np.array_equal(traces["plain"].rows[0, below], traces["vif"].rows[0, below])


def test_shapes_sums_and_parts(session, image):
    trace = session.ask(image, QUESTION, ["vif"], context="hello there.", max_new_tokens=4)["vif"]
    steps = len(trace.tokens)
    assert steps == 4
    assert trace.rows.shape == (steps, NUM_LAYERS, NUM_HEADS, 144)
    assert trace.mass.shape == (steps, NUM_LAYERS, NUM_HEADS, 5)
    assert np.allclose(trace.mass.sum(-1), 1, atol=1e-5)
    assert (trace.rows.sum(-1) <= 1 + 1e-5).all()
    assert np.allclose(trace.rows.sum(-1), trace.mass[..., 0], atol=1e-5)
    assert (trace.mass[0, ..., 2] == 0).all(), "no earlier answer in the first row"
    assert (trace.mass[1:, ..., 2] > 0).all()
    assert trace.centres.shape == (144, 2)
    assert [m.layer for m in trace.mixtures] == [3, 4, 5]
    for mixture in trace.mixtures:
        assert mixture.source < mixture.layer
        assert mixture.means.shape == (3, 2)
        assert np.isclose(mixture.map.sum(), 1, atol=1e-5)
        assert np.isclose(mixture.weights.sum(), 1, atol=1e-5)


class FullRows(Recorder):
    """Also keeps whole rows and what they were computed from."""

    def __init__(self, batch):
        super().__init__(batch)
        self.full = []

    def record(self, layer, row, first_key):
        super().record(layer, row, first_key)
        self.full.append(row)


def test_recorded_rows_equal_a_full_softmax(session, image, monkeypatch):
    batch = Batch.make(session.backbone, [session.backbone.encode(image, QUESTION)])
    tap, expected = FullRows(batch), []

    def spy(module, query, key, value, attention_mask, scaling=None, **kwargs):
        keys = key.repeat_interleave(NUM_HEADS // key.shape[1], 1)
        logits = (query @ keys.mT).float() * scaling
        queries, total = logits.shape[-2:]
        future = torch.ones(queries, total, dtype=torch.bool).triu(total - queries + 1)
        expected.append(logits.masked_fill(future, float("-inf")).softmax(-1)[:, :, -1])
        return attention(module, query, key, value, attention_mask, scaling=scaling, **kwargs)

    AttentionInterface.register(NAME, spy)
    try:
        generate(session.backbone.model, dict(batch.inputs), tap, 3)
    finally:
        AttentionInterface.register(NAME, attention)
    assert len(tap.full) == len(expected) == 3 * NUM_LAYERS
    for row, full in zip(tap.full, expected, strict=True):
        assert torch.allclose(row, full, atol=1e-6)


def dense(module, query, key, value, attention_mask, scaling=None, **kwargs):
    """Reference: the whole attention matrix, edited in probability space."""
    tap = kwargs.pop(KEYWORD, None)
    rows = torch.arange(query.shape[2])
    logits = (query @ key.repeat_interleave(query.shape[1] // key.shape[1], 1).mT) * scaling
    seen = torch.ones(logits.shape[-2:], dtype=torch.bool).tril(key.shape[2] - len(rows))
    seen = seen if attention_mask is None else attention_mask[..., : key.shape[2]]
    p = logits.masked_fill(~seen, float("-inf")).softmax(-1)
    layer = module.layer_idx
    if tap is not None and (mix := tap.mix(layer)) is not None:
        injected = torch.zeros(len(p), p.shape[-1]).scatter(1, mix.columns, mix.map)
        after = (tap.position + rows)[None] >= mix.first_row[:, None]
        strength = mix.strength[:, :, None, None] * after[:, None, :, None]
        p = (1 - strength) * p + strength * injected[:, None, None]
        assert torch.allclose(p.sum(-1), torch.ones(()), atol=1e-5)
    if tap is not None and tap.wants(layer):
        tap.record(layer, p[:, :, -1], 0)
    values = value.repeat_interleave(query.shape[1] // value.shape[1], 1)
    return (p @ values).transpose(1, 2).contiguous(), None


def test_value_mix_equals_a_dense_reference_in_prefill_and_decode(session, image):
    AttentionInterface.register("dense_reference", dense)
    AttentionMaskInterface.register("dense_reference", sdpa_mask)
    reference = Session(Backbone(tiny_model(), build_processor(), "dense"), tiny_adapter())
    reference.backbone.model.set_attn_implementation({"text_config": "dense_reference"})
    settings = {"alpha": 0.9, "max_new_tokens": 6}
    for method in ("vif", "uniform", "random"):
        mine = session.ask(image, QUESTION, [method], **settings)[method]
        theirs = reference.ask(image, QUESTION, [method], **settings)[method]
        assert mine.tokens == theirs.tokens
        assert np.allclose(mine.logprobs, theirs.logprobs, atol=1e-4)
        assert np.allclose(mine.rows, theirs.rows, atol=1e-5)


def test_visual_mass_after_mixing(session, image):
    """(1 - s) * before + s, at the first injection layer, where rows are still the same."""
    traces = session.ask(image, QUESTION, ["plain", "vif"], alpha=0.4, max_new_tokens=1)
    before, after = (traces[name].mass[0, 3, :, 0] for name in ("plain", "vif"))
    strength = traces["vif"].mixtures[0].strength
    assert np.allclose(after, (1 - strength) * before + strength, atol=1e-5)


def test_rows_before_the_image_ends_are_untouched(session, image):
    class Outputs(Recorder):
        def __init__(self, batch, mixes):
            super().__init__(batch)
            self.mixes, self.states = mixes, {}

        def mix(self, layer):
            return self.mixes.get(layer)

        def layer_output(self, layer, states):
            if self.position == 0:
                self.states[layer] = states

    from vif import methods

    batch = Batch.make(session.backbone, [session.backbone.encode(image, QUESTION)])
    request = methods.Request(batch, session.defaults, session.backbone, session.adapter)
    vif = methods.find("vif").tap(request)
    generate(session.backbone.model, dict(batch.inputs), vif, 1)
    plain, steered = Outputs(batch, {}), Outputs(batch, vif.mixes)
    for tap in (plain, steered):
        generate(session.backbone.model, dict(batch.inputs), tap, 1)
    last_image = int(batch.columns.max())
    for layer, states in plain.states.items():
        other = steered.states[layer]
        assert torch.equal(states[:, : last_image + 1], other[:, : last_image + 1])
        assert torch.equal(states, other) == (layer < 3)


class CacheLengths(Recorder):
    """Counts keys per layer and step."""

    def __init__(self, batch):
        super().__init__(batch)
        self.lengths = []

    def record(self, layer, row, first_key):
        super().record(layer, row, first_key)
        self.lengths.append(row.shape[-1])


def test_every_layer_caches_each_token_once(session, image):
    from vif import methods
    from vif.methods.vif import MixingTap

    class Counting(CacheLengths, MixingTap):
        def __init__(self, request):
            MixingTap.__init__(self, request, request.adapter)
            self.lengths = []

    batch = Batch.make(session.backbone, [session.backbone.encode(image, QUESTION)])
    tap = Counting(methods.Request(batch, session.defaults, session.backbone, session.adapter))
    generate(session.backbone.model, dict(batch.inputs), tap, 4)
    prompt = batch.inputs["input_ids"].shape[1]
    assert tap.lengths == [prompt + step for step in range(4) for _ in range(NUM_LAYERS)]


def test_greedy_runs_repeat_exactly(session, image):
    first, second = (session.ask(image, QUESTION, ["vif"], max_new_tokens=5) for _ in range(2))
    assert first["vif"].tokens == second["vif"].tokens
    assert np.array_equal(first["vif"].rows, second["vif"].rows)


def test_samples_repeat_by_seed_and_have_a_spread(session, image):
    def ask(seed):
        return session.ask(image, QUESTION, ["vif"], samples=3, seed=seed, max_new_tokens=1)["vif"]

    first, again, other = ask(1), ask(1), ask(2)
    assert np.array_equal(first.mixtures[0].map, again.mixtures[0].map)
    assert not np.array_equal(first.mixtures[0].map, other.mixtures[0].map)
    assert first.mixtures[0].means.shape == (9, 2)
    assert first.mixtures[0].spread.max() > 0
    assert np.isclose(first.mixtures[0].weights.sum(), 1, atol=1e-5)


def test_a_left_padded_batch_equals_single_runs(session):
    questions = [QUESTION, "Is there a red heart in the picture near the blue ring?"]
    items = [Question(draw_scene(i).image, q) for i, q in enumerate(questions)]
    together = session.ask_batch(items, ["plain", "vif"])
    for i, item in enumerate(items):
        alone = session.ask_batch([item], ["plain", "vif"])
        for method in ("plain", "vif"):
            one, many = alone[method][0], together[method][i]
            assert one.tokens == many.tokens
            assert np.allclose(one.logprobs, many.logprobs, atol=1e-4)
            assert np.allclose(one.rows, many.rows, atol=1e-5)
            assert np.allclose(many.mass.sum(-1), 1, atol=1e-5), "padding has no mass"


def test_two_threads_with_different_settings_equal_their_sequential_runs(session):
    jobs = [
        {"question": draw_scene(1).image, "alpha": 1.0, "injection": (3, 4)},
        {"question": draw_scene(2).image, "alpha": 0.2, "context": unrelated_text(0, 40)},
        {"question": draw_scene(3).image, "alpha": 0.7, "injection": (5, 5), "learning": (0, 1)},
    ]

    def ask(job):
        return session.ask(text=QUESTION, methods=["plain", "vif"], max_new_tokens=4, **job)

    alone = [ask(job) for job in jobs]
    found = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: ask(jobs[i % 3])})) for i in range(9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(9):
        for method in ("plain", "vif"):
            assert found[i][method].tokens == alone[i % 3][method].tokens
            assert np.allclose(found[i][method].rows, alone[i % 3][method].rows, atol=1e-6)


def test_nothing_stays_attached_after_an_error_or_a_stop(session, image, monkeypatch):
    before = session.ask(image, QUESTION, ["plain"], max_new_tokens=3)["plain"]
    hooks = [len(m._forward_pre_hooks) for m in session.backbone.model.modules()]

    def fail(*_, **__):
        raise RuntimeError("inside")

    with monkeypatch.context() as patch:
        patch.setattr(session.adapter, "render", fail)
        with pytest.raises(RuntimeError, match="inside"):
            session.ask(image, QUESTION, ["vif"])
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        session.ask(image, QUESTION, ["plain", "vif"], cancel=stop)
    assert hooks == [len(m._forward_pre_hooks) for m in session.backbone.model.modules()]
    after = session.ask(image, QUESTION, ["plain"], max_new_tokens=3)["plain"]
    assert np.array_equal(before.rows, after.rows)


def test_uninstalling_restores_the_model():
    model = tiny_model()
    before = model.get_decoder().config._attn_implementation
    backbone = Backbone(model, build_processor(), "tiny")
    backbone.uninstall()
    assert model.get_decoder().config._attn_implementation == before
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_the_question_span_is_the_question(session, image):
    backbone = session.backbone
    decode = backbone.processor.tokenizer.decode
    for context in ("", "An older picture showed a red heart."):
        prompt = backbone.encode(image, "Which colour does the heart have?", context)
        ids = prompt.inputs["input_ids"][0]
        span = ids[prompt.question.start : prompt.question.stop]
        assert decode(span) == "which colour does the heart have ?"
        assert (prompt.parts() == 0).sum() == 144


def test_special_tokens_in_a_question_are_plain_text(session, image):
    prompt = session.backbone.encode(image, "<image> what <eos> is <assistant> this?")
    assert (prompt.inputs["input_ids"] == session.backbone.image_token_id).sum() == 144
