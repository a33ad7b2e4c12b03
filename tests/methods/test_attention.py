"""Invariants of every registered method, on tiny models of three families."""

import threading
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from vif import methods
from vif.check.models import tiny_adapter, tiny_backbone
from vif.errors import InputError
from vif.model.batch import Batch
from vif.model.generation import generate
from vif.settings import Settings

FAMILIES = ("llava", "llava_next", "qwen2_5_vl")
QUESTION, OTHER = "what colour is the star ?", "how many are there in the picture ? yes or no ?"
STEPS = 3
EDITING = ("var", "act", "vaf", "paint", "vhr", "tame", "sparc", "cmai")
# Settings under which a method has something to do on a tiny model.
EAGER = {
    "var": {"rho": 0, "visual": 0},
    "act": {"factor": 1.2},
    "sparc": {"tau": 0, "alpha": 1.5},
    "vaf": {"visual": 1.5},
}
REFUSES = {(name, "qwen2_5_vl") for name in ("flowcut", "paint", "vflowopt")}


@cache
def backbone(family):
    """A tiny model whose first token is a sink with a massive activation."""
    found = tiny_backbone(family)
    begin = found.processor.tokenizer.bos_token_id
    with torch.no_grad():
        found.model.get_input_embeddings().weight[begin, 3] = 60
    return found


def picture(seed=0, size=(100, 60)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def request_for(family, name, questions=(QUESTION,), options=None, phase="both", size=(100, 60)):
    model, method = backbone(family), methods.find(name)
    images = [picture(seed, size) for seed in range(len(questions))]
    pairs = zip(images, questions, strict=True)
    batch = Batch.make(model, [model.encode(image, question) for image, question in pairs])
    settings = Settings(learning=(1, 2), injection=(3, 5), max_new_tokens=STEPS, phase=phase)
    even = torch.full(batch.columns.shape, 1 / batch.columns.shape[1])
    options = method.resolve(options or {})
    return methods.Request(batch, settings, model, tiny_adapter(), even, even, images, options)


@cache
def known(family, name, questions=(QUESTION,), is_identity=False):
    """An answer that several tests use."""
    options = methods.find(name).identity if is_identity else EAGER.get(name)
    return answer(family, name, questions, options)


@torch.no_grad()
def answer(family, name, *args, **kwargs):
    """Tokens, their log-probabilities, and the full rows (steps, layers, (B, H, K))."""
    tap = methods.find(name).tap(request_for(family, name, *args, **kwargs))
    full, keep = [], tap.record

    def record(layer, row, first_key):
        if layer == 0:
            full.append([])
        full[-1].append(row)
        keep(layer, row, first_key)

    tap.record = record
    generated = generate(backbone(family).model, dict(tap.batch.inputs), tap, STEPS)
    return torch.stack(generated.tokens), torch.stack(generated.logprobs), full, tap


def cases(names, families=FAMILIES):
    return [
        pytest.param(family, name, id=f"{family}-{name}")
        for family in families
        for name in names
        if (name, family) not in REFUSES
    ]


OTHERS = [name for name in methods.names() if name not in EDITING]
WITH_IDENTITY = [name for name in methods.names() if methods.find(name).identity is not None]
editing = pytest.mark.parametrize(("family", "name"), cases(EDITING))
# What edits no rows itself is checked for the rest on one family.
every_method = pytest.mark.parametrize(
    ("family", "name"), cases(EDITING) + cases(OTHERS, FAMILIES[:1])
)
with_identity = pytest.mark.parametrize(("family", "name"), cases(WITH_IDENTITY))


def test_editing_methods_have_an_identity_and_all_settings_are_in_range():
    assert all(methods.find(name).identity for name in EDITING)
    for name in methods.names():
        method = methods.find(name)
        for option in method.options:
            assert option.low <= option.default <= option.high, (name, option.name)
        resolved = method.resolve(method.identity or {})
        assert set(resolved) == {option.name for option in method.options}


@with_identity
def test_identity_settings_equal_plain_in_prompt_and_answer(family, name):
    tokens, logprobs, full, _ = known(family, "plain")
    mine = known(family, name, is_identity=True)
    assert torch.equal(tokens, mine[0])
    assert torch.allclose(logprobs, mine[1], atol=1e-5)
    for step, rows in zip(full, mine[2], strict=True):
        for plain, row in zip(step, rows, strict=True):
            assert torch.allclose(plain, row, atol=1e-5)


@every_method
def test_rows_are_distributions_padding_is_hidden_and_keys_are_tokens(family, name):
    _, _, full, tap = known(family, name, (QUESTION, OTHER))
    length = tap.batch.inputs["input_ids"].shape[1]
    padding = tap.batch.inputs["attention_mask"] == 0
    assert padding.any(), "one of the prompts is shorter"
    for step, rows in enumerate(full):
        assert len(rows) == backbone(family).num_layers
        for row in rows:
            assert row.shape[2] == length + step, "the cache holds every token once"
            assert (row >= 0).all()
            assert torch.allclose(row.sum(-1), torch.ones(()), atol=1e-4)
            assert (row[:, :, :length].transpose(1, 2)[padding] == 0).all()


@every_method
def test_two_runs_agree_and_a_batch_equals_its_prompts(family, name):
    tokens, logprobs, _, _ = known(family, name, (QUESTION, OTHER))
    again = answer(family, name, (QUESTION, OTHER), EAGER.get(name))
    assert torch.equal(tokens, again[0])
    assert torch.equal(logprobs, again[1])
    alone = known(family, name)
    assert torch.equal(alone[0][:, 0], tokens[:, 0])
    assert torch.allclose(alone[1][:, 0], logprobs[:, 0], atol=1e-4)


@editing
def test_with_something_to_do_the_answer_changes(family, name):
    _, _, plain, _ = known(family, "plain")
    _, _, edited, tap = known(family, name)
    pairs = [(a, b) for s, t in zip(plain, edited, strict=True) for a, b in zip(s, t, strict=True)]
    assert max(float((a - b).abs().max()) for a, b in pairs if a.shape == b.shape) > 1e-3
    assert not any("note" in notes for notes in tap.notes)


@editing
def test_image_rows_stay_as_they_are(family, name):
    """Only rows after the image are edited, by all but the two that edit every row."""
    states = {}
    for which in ("plain", name):
        tap = methods.find(which).tap(request_for(family, which, options=EAGER.get(which)))
        seen, report = states.setdefault(which, {}), tap.layer_output

        def layer_output(layer, x, seen=seen, report=report):
            seen.setdefault(layer, x)
            report(layer, x)

        tap.layer_output = layer_output
        generate(backbone(family).model, dict(tap.batch.inputs), tap, 1)
        columns = tap.batch.columns[0]
    same = [
        torch.equal(states["plain"][i][:, columns], states[name][i][:, columns])
        for i in states["plain"]
    ]
    assert all(same) == (name not in ("vhr", "tame"))


@editing
def test_phase_prefill_leaves_generated_rows_alone(family, name):
    if name == "sparc":
        with pytest.raises(InputError, match="choose phase 'both'"):
            methods.find(name).tap(request_for(family, name, phase="prefill"))
        return
    tap = methods.find(name).tap(request_for(family, name, phase="prefill"))
    tap.position = 7
    assert all(tap.edit(layer) is None for layer in range(backbone(family).num_layers))


def test_refusals_say_what_is_missing():
    for name, family in REFUSES:
        with pytest.raises(InputError, match="needs a vision tower"):
            methods.find(name).tap(request_for(family, name))


def test_a_model_without_sinks_is_bit_equal_under_var_and_says_so():
    random = tiny_backbone("llava", seed=1)
    prompt = random.encode(picture(), QUESTION)
    batch = Batch.make(random, [prompt])
    settings = Settings(learning=(1, 2), injection=(3, 5))
    found = {}
    for name in ("plain", "var"):
        method = methods.find(name)
        request = methods.Request(
            batch, settings, random, options=method.resolve(EAGER.get(name, {}))
        )
        tap = method.tap(request)
        found[name] = torch.stack(generate(random.model, dict(batch.inputs), tap, 3).logprobs)
    assert torch.equal(found["plain"], found["var"])
    assert "no sinks" in tap.notes[0]["note"]


@pytest.mark.parametrize("name", ["vhr", "sparc", "act"])
def test_concurrent_requests_do_not_change_each_other(name):
    """Qwen keeps position offsets on the model; images of different shapes give different ones."""
    sizes = ((100, 60), (48, 120))
    alone = [answer("qwen2_5_vl", name, size=size, options=EAGER.get(name))[:2] for size in sizes]
    found = {}

    def work(i):
        found[i] = answer("qwen2_5_vl", name, size=sizes[i % 2], options=EAGER.get(name))[:2]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        assert torch.equal(found[i][0], alone[i % 2][0])
        assert torch.allclose(found[i][1], alone[i % 2][1], atol=1e-5)


def test_nothing_is_left_on_the_model():
    def state(module):
        hooks = (module._forward_hooks, module._forward_pre_hooks)
        return [len(h) for h in hooks], sorted(vars(module))

    for family in ("llava", "qwen2_5_vl"):
        model = backbone(family).model
        before = {name: state(module) for name, module in model.named_modules()}
        for name in EDITING:
            if (name, family) not in REFUSES:
                answer(family, name, options=EAGER.get(name))
        assert {name: state(module) for name, module in model.named_modules()} == before
