"""Methods that drop image tokens for good, read the picture in parts, or open the mask."""

import numpy as np
import pytest
import torch

from tests.support.asking import ask, noise, one, request_of, session_of, together_and_alone
from vif import methods
from vif.errors import InputError
from vif.methods.maps.base import MAPS
from vif.methods.maps.tower import Layer, first_states, token_scores
from vif.methods.papers.flowcut import number_to_drop, scores_of, survivors
from vif.methods.papers.patch_matters import PROMPT
from vif.methods.papers.vflowopt import THRESHOLDS, WEIGHTS, importance, patch_entropy
from vif.model.attention import Tap
from vif.model.generation import open_stream

NAMES = ("flowcut", "mustdrop", "vflowopt", "patch-matters", "aki")
EAGER = {"mustdrop": {"total": 0.06, "single": 0.02}}


def tower_and_pixels(session, seed=0):
    prompt = session.backbone.encode(noise(seed), "what is this ?")
    tower = session.backbone.model.base_model.vision_tower
    return tower, prompt.inputs["pixel_values"].flatten(0, -4)


def attentions_of(tower, pixels):
    """Reference: what transformers' own eager attention gives, by layer, (T, H, S, S)."""
    before = tower.config._attn_implementation
    tower.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            return tower(pixels, output_attentions=True).attentions
    finally:
        tower.set_attn_implementation(before)


@pytest.mark.parametrize("family", ["llava", "llava_next", "qwen2_5_vl"])
@pytest.mark.parametrize("name", NAMES)
def test_identity_equals_plain(family, name):
    session, method = session_of(family), methods.find(name)
    if obstacle := method.obstacle(session.backbone, session.adapter):
        with pytest.raises(InputError, match="needs a vision tower"):
            one(session, name)
        assert session.backbone.name in obstacle
        return
    plain = one(session, "plain")
    same = one(session, name, options={name: dict(method.identity)})
    assert same.tokens == plain.tokens
    assert np.allclose(same.logprobs, plain.logprobs, atol=1e-5)
    assert np.allclose(same.rows, plain.rows, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_left_padded_batch_equals_single_runs(name):
    for many, alone in together_and_alone(session_of("llava"), name, options=EAGER):
        assert alone.tokens == many.tokens
        assert np.allclose(alone.rows, many.rows, atol=1e-4)
        assert alone.meta["notes"].keys() == many.meta["notes"].keys()


@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_the_cls_map_is_the_towers_own_attention(family):
    session = session_of(family)
    tower, pixels = tower_and_pixels(session)
    late = attentions_of(tower, pixels)[-2][:, :, 0, 1:].mean(1)
    found = MAPS["cls"].make(request_of(session))[0].numpy()
    if family == "llava":
        assert found == pytest.approx((late[0] / late[0].sum()).numpy(), abs=1e-5)
    # Row breaks of tiled pictures are no patches.
    off = np.isnan(request_of(session).batch.centres[0].numpy()).any(1)
    assert (found[off] == 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_the_cls_map_needs_a_cls_token():
    with pytest.raises(InputError, match="CLS token"):
        one(session_of("qwen2_5_vl"), "cls+prune")


# FlowCut


def test_flowcut_drops_more_where_attention_is_concentrated():
    even = torch.full((16,), 1 / 16)
    assert number_to_drop(even, 4, 4) == 0
    spike = torch.full((16,), 1e-9)
    spike[3] = 1
    assert number_to_drop(spike, 4, 4) == 6
    assert number_to_drop(spike, 1, 4) == 12


def test_flowcut_scores_are_those_of_its_formula():
    tower, pixels = tower_and_pixels(session_of("llava"))
    layer = Layer(tower.encoder.layers[0], first_states(tower, pixels[:1]))
    with torch.no_grad():
        found, attention = scores_of(layer)
        reference = attentions_of(tower, pixels[:1])[0][0, :, 0, 1:].mean(0)
        block = layer.block
        values = block.self_attn.v_proj(block.layer_norm1(layer.states))[0]
        heads = values.unflatten(-1, (block.self_attn.num_heads, -1)).transpose(0, 1)
        alike = torch.stack([(h @ h[0]).softmax(0) for h in heads]).mean(0)[1:]
        size = heads.mean(0)[1:].abs().sum(-1)
    assert torch.allclose(attention, reference, atol=1e-5)
    expected = (reference / reference.sum() + alike / alike.sum()) * size
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5, 1])
def test_flowcut_keeps_the_share_and_nobody_sees_the_rest(share):
    session = session_of("llava")
    tower, pixels = tower_and_pixels(session)
    alive = survivors(tower, pixels, share)[0, :, 0]
    assert int(alive.sum()) == max(1, round(share * len(alive)))
    trace = one(session, "flowcut", options={"flowcut": {"share": share}})
    assert trace.meta["notes"]["dropped"] == len(alive) - int(alive.sum())
    # The picture that is asked about is the one that was read.
    assert (trace.rows[..., alive.numpy() == 0] == 0).all()
    assert (trace.rows[..., alive.numpy() > 0] > 0).all()


# MustDrop


def test_mustdrop_drops_all_but_the_key_set_where_all_is_little():
    session = session_of("llava")
    options = {"total": 0.1, "single": 0.1, "keys": 0.2}
    plain, trace = one(session, "plain"), one(session, "mustdrop", options={"mustdrop": options})
    tower, pixels = tower_and_pixels(session)
    number = plain.rows.shape[-1]
    keys = attentions_of(tower, pixels)[-1][0, :, 0, 1:].mean(0).topk(-(-number // 5)).indices
    dropped = (trace.rows[0, -1] == 0).all(0)
    assert not dropped[keys.numpy()].any()
    assert trace.meta["notes"]["dropped"] == dropped.sum()
    # Before the first stage nothing is changed; generated tokens see what the last stage left.
    assert np.array_equal(trace.rows[0, 0], plain.rows[0, 0])
    assert (trace.rows[1:, 1:][..., dropped] == 0).all()


def test_mustdrop_drops_by_the_attention_of_its_stage():
    """Layers 2, 6, 10 and 14 of 32 are layers 1 to 3 of 6; the first of them is checked."""
    session = session_of("llava")
    number = request_of(session).batch.columns.shape[1]
    request = request_of(session, {"total": 1 / number, "single": 1.0, "keys": 0.0})
    tap = methods.find("mustdrop").tap(request)
    edit = tap.edits[min(tap.edits)]
    seen = {}
    keep = edit.weights

    def watch(weights, rows):
        before = edit.values.clone()
        made = keep(weights, rows)
        seen.setdefault(rows.layer, (weights, rows, before, edit.values.clone()))
        return made

    edit.weights = watch
    with torch.no_grad():
        open_stream(session.backbone.model, dict(request.batch.inputs)).advance(tap)
    layer = min(edit.stages)
    weights, rows, before, after = seen[layer]
    text = rows.positions >= request.batch.first_row[0]
    look = weights[0].mean(0)[text][:, request.batch.columns[0]]
    expected = look.sum(0) < look.sum() / number
    assert not before.any()
    assert torch.equal(after[0] > 0, expected)
    assert 0 < int(expected.sum()) < len(expected)


# VFlowOpt


def test_entropy_of_a_patch_counts_its_grey_values():
    pixels = torch.zeros(1, 3, 8, 8)
    pixels[:, :, :4, 4:] = torch.tensor([0.0, 1.0]).repeat(4, 2)
    pixels[:, :, 4:, :4] = torch.linspace(0, 1, 16).reshape(4, 4)
    found = patch_entropy(pixels, 4)[0]
    assert found.tolist() == pytest.approx([0, 1, 4, 0], abs=1e-5)


def test_importance_is_what_global_tokens_look_at():
    tower, pixels = tower_and_pixels(session_of("llava"))
    weights = attentions_of(tower, pixels[:1])[-1][0].mean(0)
    # Nothing is looked at a thousand times the mean: all tokens count.
    found = importance(tower, pixels[:1], 1000, 0)[0, :, 0]
    assert torch.allclose(found, weights.mean(0)[1:], atol=1e-5)
    received = weights.mean(0)
    chosen = received > 1.0 * received.mean()
    found = importance(tower, pixels[:1], 1, 0)[0, :, 0]
    assert torch.allclose(found, weights[chosen].mean(0)[1:], atol=1e-5)
    more = importance(tower, pixels[:1], 1, 0.5)[0, :, 0] - found
    assert float(more.sum()) == pytest.approx(0.5, abs=1e-4)


def test_vflowopt_keeps_the_setting_that_changes_the_last_state_least(monkeypatch):
    session = session_of("llava")
    best = one(session, "vflowopt").meta["notes"]
    found = []
    for threshold in THRESHOLDS:
        for weight in WEIGHTS:
            monkeypatch.setattr("vif.methods.papers.vflowopt.THRESHOLDS", (threshold,))
            monkeypatch.setattr("vif.methods.papers.vflowopt.WEIGHTS", (weight,))
            found.append(one(session, "vflowopt").meta["notes"]["likeness"])
    assert best["likeness"] == max(found)
    assert best["dropped"] == round(0.5 * one(session, "plain").rows.shape[-1])


# Patch Matters


def test_parts_are_described_and_read_before_the_question():
    session = session_of("llava")
    options = {"patch-matters": {"words": 4}}
    trace = one(session, "patch-matters", options=options)
    told = trace.meta["notes"]["described"]
    picture = noise()
    width, height = picture.size
    corner = picture.crop((0, 0, width // 2, height // 2)).resize(picture.size, 3)
    said = session.ask(corner, PROMPT, ["plain"], max_new_tokens=4)["plain"].answer
    assert told[0] == f"top left: {said}"
    assert len(told) == 4
    again = ask(session, ["plain"], context="; ".join(told))["plain"]
    assert again.tokens == trace.tokens
    assert np.allclose(again.rows, trace.rows, atol=1e-5)


# AKI


class States(Tap):
    def __init__(self):
        self.found = {}

    def layer_output(self, layer, states):
        self.found[layer] = states


def image_states(session, question, is_open):
    request = request_of(session, {"on": float(is_open)}, (question,))
    tap = methods.find("aki").tap(request)
    kept = {}
    tap.layer_output = lambda layer, states: kept.setdefault(layer, states)
    with torch.no_grad():
        open_stream(session.backbone.model, dict(request.batch.inputs)).advance(tap)
    return kept[2][0, request.batch.columns[0]]


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_only_an_open_mask_tells_image_tokens_the_question(family):
    session = session_of(family)
    one_way, other = "what colour is the star ?", "what colour is the ring ?"
    closed = [image_states(session, q, False) for q in (one_way, other)]
    opened = [image_states(session, q, True) for q in (one_way, other)]
    assert torch.allclose(*closed, atol=1e-5)
    assert not torch.allclose(*opened, atol=1e-3)
    plain, aki = one(session, "plain"), one(session, "aki")
    # Text rows stay causal: the first layer, which reads the same states, looks the same.
    assert np.allclose(plain.rows[0, 0], aki.rows[0, 0], atol=1e-5)
    assert np.allclose(aki.mass.sum(-1), 1, atol=1e-4)


def test_scores_that_fit_no_tokens_are_refused():
    backbone = session_of("llava").backbone
    prompt = backbone.encode(noise(), "what is this ?")
    with pytest.raises(InputError, match="cannot be read patch by patch"):
        token_scores(backbone, prompt, lambda tower, pixels: torch.ones(len(pixels), 3, 1))
