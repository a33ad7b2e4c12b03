"""Guided decoding: every branch has the right input, and they are combined by the formula."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.asking import FAMILIES, LONGER, QUESTION, ask, noise, one, request_of, session_of
from tests.support.tiny import NUM_HEADS
from vif.check.models import tiny_backbone
from vif.methods import guidance
from vif.methods.papers.inter import centred
from vif.methods.papers.pai import Amplify
from vif.methods.papers.vcd import diffuse
from vif.methods.prompts import without_image, without_question
from vif.model.attention import attention
from vif.model.batch import Batch
from vif.model.prompt import TEXT_INPUTS

STEPS = 3


def texts(backbone, inputs):
    words = backbone.processor.tokenizer
    return [words.decode(ids[mask.bool()]) for ids, mask in zip(
        inputs["input_ids"], inputs["attention_mask"], strict=True
    )]  # fmt: skip


# Prompts with something taken out


@pytest.mark.parametrize(
    ("family", "frame"),
    [
        ("llava", ""),
        ("llava_next", ""),
        ("qwen2_5_vl", "<|vision_start|> <|vision_end|> "),
        ("smolvlm", "<fake_token_around_image> <row_1_col_1> <fake_token_around_image> "),
        ("gemma3", "<start_of_image> <end_of_image> "),
    ],
)
def test_a_prompt_without_its_image_keeps_its_words(family, frame):
    backbone = session_of(family).backbone if family in FAMILIES else tiny_backbone(family)
    prompts = [backbone.encode(noise(), text) for text in (QUESTION, LONGER)]
    inputs = backbone.collate([without_image(prompt) for prompt in prompts])
    assert texts(backbone, inputs) == [
        f"<bos> {frame}<user> {text} <assistant>" for text in (QUESTION, LONGER)
    ]
    assert set(inputs) <= set(TEXT_INPUTS)
    bare = without_image(prompts[0])
    asked = bare.inputs["input_ids"][0, bare.question.start : bare.question.stop]
    assert backbone.processor.tokenizer.decode(asked) == QUESTION
    neither = without_image(without_question(prompts[0]))
    assert texts(backbone, neither.inputs) == [f"<bos> {frame}<user> <assistant>"]


def test_a_prompt_without_its_question_keeps_image_and_context():
    backbone = session_of("qwen2_5_vl").backbone
    prompt = backbone.encode(noise(), QUESTION, "a red circle .")
    bare = without_question(prompt)
    assert texts(backbone, bare.inputs)[0].endswith("<user> a red circle . <assistant>")
    assert (bare.inputs["input_ids"][0, bare.image] == backbone.image_token_id).all()
    assert len(bare.image) == len(prompt.image)
    assert len(bare.question) == 0
    inputs = Batch.make(backbone, [bare]).inputs
    assert torch.isfinite(backbone.model(**inputs).logits).all()


# Combination, against passes without a cache


def longer(inputs, tokens):
    """Inputs of a prompt and what was answered so far."""
    fills = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    return inputs | {
        name: torch.cat([value, fills.get(name, torch.zeros_like(tokens))[None].to(value)], 1)
        for name, value in inputs.items()
        if name in TEXT_INPUTS
    }


@torch.no_grad()
def decoded(session, branches, combine):
    """Greedy tokens and log-probabilities of combined logits."""
    model = session.backbone.model
    tokens, found = torch.zeros(0, dtype=torch.long), []
    for _ in range(STEPS):
        logits = [model(**longer(inputs, tokens)).logits[0, -1].float() for inputs in branches]
        scores = combine(*logits)
        scores[model.generation_config.suppress_tokens] = -torch.inf
        scores = scores.log_softmax(-1)
        tokens = torch.cat([tokens, scores.argmax()[None]])
        found.append(float(scores.max()))
    return tokens, found


def same(session, trace, expected):
    tokens, found = expected
    words = session.backbone.processor.tokenizer
    assert trace.tokens == [words.decode([token]) for token in tokens]
    assert np.allclose(trace.logprobs, found, atol=1e-4)


def limited(scores, logits, cutoff):
    """Only what has `cutoff` times the best probability; nothing else is ever chosen here."""
    probabilities = logits.softmax(-1)
    return scores.masked_fill(probabilities < cutoff * probabilities.max(), -1e9)


@pytest.mark.parametrize("family", FAMILIES)
def test_pai_subtracts_the_branch_without_the_image(family):
    session = session_of(family)
    prompt = request_of(session).batch.prompts[0]
    collate = session.backbone.collate

    def combine(with_image, without):
        with_image, without = with_image.log_softmax(-1), without.log_softmax(-1)
        return limited(2.5 * (with_image - without) + without, with_image, 0.02)

    options = {"pai": {"alpha": 0, "gamma": 2.5, "cutoff": 0.02}}
    trace = one(session, "pai", options=options)
    branches = [collate([prompt]), collate([without_image(prompt)])]
    same(session, trace, decoded(session, branches, combine))
    assert not np.allclose(trace.logprobs, one(session, "plain").logprobs, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_vcd_subtracts_the_noised_image(family):
    session = session_of(family)
    prompt = request_of(session).batch.prompts[0]
    pixels = diffuse(prompt.inputs["pixel_values"], 500, 0)
    noised = replace(prompt, inputs=prompt.inputs | {"pixel_values": pixels})
    collate = session.backbone.collate
    branches = [collate([prompt]), collate([noised])]
    expected = decoded(session, branches, lambda a, b: limited(2 * a - b, a, 0.1))
    trace = one(session, "vcd")
    same(session, trace, expected)
    assert not np.allclose(trace.logprobs, one(session, "plain").logprobs, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_inter_adds_what_image_and_question_say_only_together(family):
    session = session_of(family)
    prompt = request_of(session).batch.prompts[0]
    asked = [prompt, without_question(prompt), without_image(prompt)]
    asked.append(without_image(asked[1]))

    def combine(both, image, text, neither):
        logs = [logits.log_softmax(-1) for logits in (both, image, text, neither)]
        surplus = logs[0] - logs[1] - logs[2] + logs[3]
        kept = both.softmax(-1) >= 0.01 * both.softmax(-1).max()
        return both + torch.where(kept, 2 * (surplus - surplus[kept].mean()), 0)

    options = {"inter": {"weight": 2, "threshold": 0, "cutoff": 0.01}}
    trace = one(session, "inter", options=options)
    collate = session.backbone.collate
    same(session, trace, decoded(session, [collate([p]) for p in asked], combine))
    assert trace.meta["notes"]["guided"] == [v > 0 for v in trace.meta["notes"]["variance"]]


def test_inter_leaves_steps_below_the_threshold_alone():
    traces = ask(session_of("llava"), ["plain", "inter"], options={"inter": {"threshold": 20}})
    assert np.array_equal(traces["plain"].logprobs, traces["inter"].logprobs)
    assert traces["inter"].meta["notes"]["guided"] == [False] * STEPS


@pytest.mark.parametrize("name", ["pai", "vcd"])
def test_only_the_first_token_is_guided_when_the_phase_is_prefill(name):
    session = session_of("llava")
    options = {"pai": {"alpha": 0, "gamma": 3}} if name == "pai" else {}
    plain = one(session, "plain")
    trace = one(session, name, phase="prefill", options=options)
    assert not np.isclose(trace.logprobs[0], plain.logprobs[0], atol=1e-4)
    if trace.tokens[0] == plain.tokens[0]:
        assert np.allclose(trace.logprobs[1:], plain.logprobs[1:], atol=1e-5)
    both = one(session, name, options=options)
    assert not np.allclose(both.logprobs[1:], trace.logprobs[1:], atol=1e-4)


# Parts


def test_variance_and_mean_are_over_candidates_only():
    values = torch.tensor([[1.0, 3.0, 100.0], [5.0, -7.0, 2.0]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    gaps, variance = centred(values, mask)
    assert torch.equal(gaps, torch.tensor([[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    assert torch.equal(variance, torch.tensor([1.0, 0.0]))


def test_a_token_is_plausible_from_a_share_of_the_best_one_on():
    logits = torch.tensor([[0.0, np.log(0.1) + 1e-4, np.log(0.1) - 1e-4, -50.0]])
    assert guidance.plausible(logits, 0.1).tolist() == [[True, True, False, False]]
    assert guidance.plausible(logits, 0).all()
    kept = guidance.mask_logits(logits, guidance.plausible(logits, 0.1))
    assert torch.equal(kept[:, :2], logits[:, :2])
    assert torch.isfinite(kept).all()
    assert kept[0, 2] > kept[0, 3], "their order stays"


def test_diffusion_keeps_the_scale_and_ends_in_noise():
    pixels = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(1))
    near, half, far = (diffuse(pixels, step, 0) for step in (0, 500, 999))
    assert torch.allclose(near, pixels, atol=0.03)
    betas = [1e-5 + (5e-3 - 1e-5) / (1 + np.exp(6 - 12 * i / 999)) for i in range(1000)]
    kept = np.prod([1 - beta for beta in betas[:501]])
    slope = float((half * pixels).sum() / pixels.square().sum())
    assert slope == pytest.approx(np.sqrt(kept), abs=0.03)
    assert abs(float((far * pixels).mean())) < 0.35
    assert half.std() == pytest.approx(1, abs=0.05)
    assert torch.equal(half, diffuse(pixels, 500, 0))
    assert not torch.allclose(half, diffuse(pixels, 500, 1))


def test_pai_raises_image_logits_of_the_last_row_by_their_size():
    """One call of the attention function against a softmax of edited logits."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, NUM_HEADS, 9, 8, generator=generator) for _ in range(3))
    request = request_of(session_of("llava"))
    batch = replace(request.batch, columns=torch.arange(2, 6)[None], first_row=torch.tensor([6]))
    edit = Amplify(replace(request, batch=batch), 0.5)

    class Once(guidance.EditingTap):
        def record(self, layer, row, first_key):
            self.row = row

    tap = Once(replace(request, batch=batch), {1: edit})
    module = torch.nn.Module()
    module.layer_idx = 1
    out, _ = attention(module, query, key, value, None, vif=tap)
    plain, _ = attention(module, query, key, value, None)
    logits = (query @ key.mT)[0, :, -1] / 8**0.5
    logits[:, 2:6] += 0.5 * logits[:, 2:6].abs()
    assert torch.allclose(tap.row[0], logits.softmax(-1), atol=1e-6)
    assert torch.allclose(out[0, -1], (logits.softmax(-1)[:, None] @ value[0])[:, 0], atol=1e-5)
    assert torch.equal(out[:, :-1], plain[:, :-1])
