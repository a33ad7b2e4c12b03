"""Probes against dense references and identities, on tiny random models."""

import json
import threading

import numpy as np
import pytest
import torch
from PIL import ImageOps
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from tests.support.tiny import NUM_HEADS, NUM_LAYERS
from vif import probes
from vif.check import TINY, tiny_backbone
from vif.check.parity import LONG_CONTEXT, probabilities
from vif.check.ramp import ramp_image
from vif.errors import InputError
from vif.inputs.images import open_image
from vif.metrics import sensitivity
from vif.model import attention
from vif.model.attention import Tap
from vif.model.batch import Batch
from vif.model.generation import Cancelled, open_stream
from vif.probes.cuts import CutTap, EdgeCut
from vif.probes.prefix import SharedPrompt
from vif.question import Question
from vif.session import Session

QUESTION = "What is the colour of the star?"
BOX = (0.3, 0.3, 0.6, 0.7)


def reading_of(backbone, image, question=QUESTION, context=""):
    prompt = backbone.encode(open_image(image), question, context)
    return SharedPrompt(backbone, Batch.make(backbone, [prompt]))


def asked(image, boxes=None):
    return Question(image, QUESTION, boxes=boxes)


@pytest.fixture(scope="module")
def reading(session, image):
    return reading_of(session.backbone, image)


def stepwise(backbone, inputs, answer, tap=None):
    """Log-probabilities after the prompt and after each answer token, read one by one."""
    stream = open_stream(backbone.model, inputs)
    found = []
    for token in answer:
        found.append(stream.advance(tap).log_softmax(-1)[0])
        stream.feed(torch.tensor([token]))
    return torch.stack(found)


@pytest.mark.parametrize("family", TINY)
def test_reading_the_text_again_gives_what_reading_everything_gives(family):
    backbone, answer = tiny_backbone(family), [20, 25, 31]
    for context in ("", LONG_CONTEXT):
        reading = reading_of(backbone, ramp_image((100, 60)), "what colour ?", context)
        expected = stepwise(backbone, reading.batch.inputs, answer)
        for split in (False, True):
            found = reading.logprobs(lambda _: Tap(), 3, answer, split=split)
            assert found.shape == (3, 3, expected.shape[1])
            # Recurrent layers read many tokens by another formula than one.
            limit = 2e-5 if backbone.layers_to_steer is None else 2e-4
            np.testing.assert_allclose(found, expected.expand(3, -1, -1), atol=limit, rtol=1e-5)


def test_the_image_is_read_once(reading):
    again = SharedPrompt(reading.backbone, reading.batch)
    again.logprobs(lambda _: Tap(), 4)
    text = (again.length - again.first_row) / again.length
    assert again.passes == pytest.approx(1 - text + 4 * text)


def test_an_answer_is_the_models_own_or_the_given_one(session, reading):
    own = reading.answer(max_new_tokens=3)
    assert len(own.ids) == own.length == 3
    given = reading.answer(" red ")
    assert given.ids == tuple(session.backbone.processor.tokenizer("red")["input_ids"])
    with pytest.raises(InputError, match="empty"):
        reading.answer("  ")


# Cuts


class Dense:
    """Attention over the whole matrix in which chosen edges of chosen layers are missing."""

    def __init__(self, layers, queries, keys):
        self.layers, self.queries, self.keys = layers, queries, keys

    def __call__(self, module, query, key, value, attention_mask, scaling=None, **kwargs):
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        size = query.shape[2]
        seen = torch.ones(size, size, dtype=torch.bool).tril()
        if module.layer_idx in self.layers:
            seen &= ~(self.queries[:, None] & self.keys[None]) | torch.eye(size, dtype=torch.bool)
        p = probabilities(query, key, seen[None, None], scale, None)
        values = value.repeat_interleave(query.shape[1] // value.shape[1], 1)
        return (p @ values).transpose(1, 2).contiguous(), None


def dense_logprobs(backbone, batch, cut):
    AttentionInterface.register("test_dense", Dense(*cut))
    AttentionMaskInterface.register("test_dense", sdpa_mask)
    attention.select(backbone.model, "test_dense")
    try:
        with torch.no_grad():
            logits = backbone.model(**batch.inputs).logits
    finally:
        attention.select(backbone.model, attention.NAME)
    return logits[0, -1].log_softmax(-1)


def sets(reading, boxes=(BOX,)):
    """The ends of flows, found in another way than by the probe."""
    prompt, length = reading.prompt, reading.length
    marked = {name: torch.zeros(length, dtype=torch.bool) for name in ("last", "question", "image")}
    marked["last"][length - 1] = True
    marked["question"][prompt.image[-1] + 1 : length - 1] = True
    marked["image"][prompt.image] = True
    x, y = prompt.layout.centres.T
    half = 0.5 / np.sqrt(len(x))
    near = [
        (x > x0 - half) & (x < x1 + half) & (y > y0 - half) & (y < y1 + half)
        for x0, y0, x1, y1 in boxes
    ]
    marked["object"] = torch.zeros(length, dtype=torch.bool)
    marked["object"][prompt.image] = torch.from_numpy(np.any(near, 0))
    marked["non-object"] = marked["image"] & ~marked["object"]
    return marked


def test_cutting_nothing_is_bit_equal_to_plain(reading):
    none = torch.zeros(reading.length, dtype=torch.bool)
    image, last = sets(reading)["image"], sets(reading)["last"]
    everywhere = range(NUM_LAYERS)
    cuts = [
        EdgeCut((), last, image),
        EdgeCut(everywhere, none, image),
        EdgeCut(everywhere, last, none),
    ]
    cuts.append(EdgeCut(everywhere, last, image))
    plain = reading.logprobs(lambda _: Tap(), len(cuts))
    found = reading.logprobs(lambda part: CutTap(cuts[part], torch.device("cpu")), len(cuts))
    for i in range(3):
        assert torch.equal(found[i], plain[i])
    assert (found[3] - plain[3]).abs().max() > 1e-3


def test_cutting_the_image_everywhere_is_a_prompt_whose_image_is_masked(session, reading):
    length = reading.length
    rows = torch.arange(length) >= reading.first_row
    cut = EdgeCut(range(NUM_LAYERS), rows, sets(reading)["image"])
    found = reading.logprobs(lambda _: CutTap([cut], torch.device("cpu")), 1)[0, 0]
    inputs = dict(reading.batch.inputs)
    inputs["attention_mask"] = inputs["attention_mask"].clone()
    inputs["attention_mask"][:, reading.prompt.image] = 0
    positions = torch.arange(length)[None]
    with torch.no_grad():
        logits = session.backbone.model(**inputs, position_ids=positions).logits[0, -1]
    np.testing.assert_allclose(found, logits.log_softmax(-1), atol=1e-5, rtol=1e-5)


def test_every_flow_and_window_matches_dense_attention(session, image, reading):
    found = probes.knockout(session, asked(image, [BOX]), window=2)
    assert found.flows == probes.FLOWS + probes.BOX_FLOWS
    assert found.spans.tolist() == [[0, 0], [0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    tracked = reading.answer(max_new_tokens=1).ids[0]
    marked = sets(reading)
    for i, flow in enumerate(found.flows):
        source, goal = flow.split("->")
        layer = i % NUM_LAYERS
        layers = range(found.spans[layer, 0], found.spans[layer, 1] + 1)
        cut = (layers, marked[goal], marked[source])
        expected = dense_logprobs(session.backbone, reading.batch, cut)[tracked].exp()
        assert found.cut[i, layer] == pytest.approx(float(expected), rel=1e-5, abs=1e-5)
    expected = 100 * (found.cut / found.probability - 1)
    np.testing.assert_allclose(found.change, expected, rtol=1e-5)
    assert np.abs(found.change).max() > 1


def test_windows_are_clipped_as_published(session, image):
    found = probes.knockout(session, asked(image), flows=["image->last"], window=3)
    assert found.spans.tolist() == [[0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 5]]
    whole = probes.knockout(session, asked(image), flows=["image->last"], window=2 * NUM_LAYERS)
    assert (whole.spans == [0, NUM_LAYERS - 1]).all()
    np.testing.assert_allclose(whole.cut, whole.cut[0, 0], rtol=1e-5)


def test_a_family_whose_image_sees_the_question_can_be_probed():
    backbone = tiny_backbone("paligemma")
    reading = reading_of(backbone, ramp_image((60, 60)), "what colour ?")
    image, last = sets(reading)["image"], sets(reading)["last"]
    cuts = [EdgeCut((), last, image), EdgeCut(range(6), last, image)]
    found = reading.logprobs(lambda part: CutTap(cuts[part], torch.device("cpu")), 2)
    plain = stepwise(backbone, reading.batch.inputs, [0])
    np.testing.assert_allclose(found[0], plain, atol=1e-5, rtol=1e-5)
    assert (found[1] - found[0]).abs().max() > 1e-3


# Exit sweep


def test_exits_match_dense_attention_and_end_at_plain(session, image, reading):
    found = probes.exit_sweep(session, asked(image))
    assert found.after.tolist() == list(range(-1, NUM_LAYERS))
    assert found.kl[-1] == 0
    assert found.same[-1]
    plain = dense_logprobs(session.backbone, reading.batch, ((), None, None))
    rows = torch.arange(reading.length) >= reading.first_row
    for last_seen in (-1, 2, NUM_LAYERS - 2):
        cut = (range(last_seen + 1, NUM_LAYERS), rows, sets(reading)["image"])
        dropped = dense_logprobs(session.backbone, reading.batch, cut)
        expected = (plain.exp() * (plain - dropped)).sum()
        assert found.kl[last_seen + 1] == pytest.approx(float(expected), rel=1e-3, abs=1e-6)


HYBRID = ("qwen3_5", "qwen3_5_moe")


@pytest.mark.parametrize("family", [family for family in TINY if family not in HYBRID])
def test_an_image_that_no_layer_shows_changes_nothing(family):
    """Row breaks and tile marks between image tokens have seen it, and are hidden with it."""
    session, first = Session(tiny_backbone(family)), ramp_image((100, 60))
    found = [
        probes.exit_sweep(session, Question(image, "what colour ?"), answer="red")
        for image in (first, ImageOps.invert(first))
    ]
    left, right = (one.probability for one in found)
    assert left[0] == pytest.approx(right[0], rel=1e-5)
    assert left[-1] != right[-1]


def test_the_first_exit_is_the_last_change(session, image, reading):
    found = probes.exit_sweep(session, asked(image))
    assert found.same[found.first + 1 :].all()
    assert found.first == -1 or not found.same[found.first]
    answer = reading.answer()
    logprobs = stepwise(session.backbone, reading.batch.inputs, answer.ids[: answer.length])
    own = sum(float(step[token]) for step, token in zip(logprobs, answer.ids, strict=False))
    assert found.probability[-1] == pytest.approx(np.exp(own), rel=1e-4)


# Head divergence


def test_head_divergence_matches_what_enters_the_output_projections(session, image):
    backbone = session.backbone
    found = probes.head_divergence(session, asked(image), top=2)
    reading = reading_of(backbone, image)
    ids = reading.prompt.inputs["input_ids"][0]
    first, last = int(reading.prompt.image[0]), int(reading.prompt.image[-1])
    text = torch.cat([ids[:first], ids[last + 1 :]])[None]
    outputs = []
    for inputs in (reading.batch.inputs, {"input_ids": text}):
        heads = []
        handles = [
            block.self_attn.o_proj.register_forward_pre_hook(
                lambda _, args, heads=heads: heads.append(
                    args[0][0, -1].unflatten(0, (NUM_HEADS, -1))
                )
            )
            for block in backbone.model.get_decoder().layers
        ]
        with torch.no_grad():
            backbone.model(**inputs)
        for handle in handles:
            handle.remove()
        outputs.append(torch.stack(heads).numpy())
    np.testing.assert_allclose(found.divergence, sensitivity(*outputs), atol=1e-5, rtol=1e-5)
    largest = np.sort(found.divergence, 1)[:, -2:]
    assert found.total == pytest.approx(largest.sum(), rel=1e-5)
    norms = np.linalg.norm(outputs[0], axis=-1)
    np.testing.assert_allclose(found.relative, found.divergence / norms, rtol=1e-4)


# Deletion


@pytest.fixture(scope="module")
def weights(session, image):
    return probes.map_of(session.ask(image, QUESTION, ["plain"], max_new_tokens=1)["plain"])


def test_deleting_nothing_is_plain_and_deleting_all_removes_the_image(session, image, weights):
    found = probes.deletion_curve(session, asked(image), weights, shares=[0, 0.3, 1], draws=3)
    exits = probes.exit_sweep(session, asked(image))
    np.testing.assert_allclose(
        [*found.random[:, 0], found.top[0]], exits.probability[-1], rtol=1e-5
    )
    np.testing.assert_allclose([*found.random[:, 2], found.top[2]], exits.probability[0], rtol=1e-5)
    gap = found.random.mean(0) - found.top
    assert found.area == pytest.approx(0.15 * gap[1] + 0.35 * gap[1], rel=1e-5)
    assert found.areas.shape == (3,)


def test_the_largest_of_a_map_are_hidden_first(session, image, reading):
    number = reading.batch.columns.shape[1]
    marked = np.zeros(number)
    marked[[5, 77, 100]] = 3, 2, 1
    shares = [0, 2 / number]
    found = probes.deletion_curve(session, asked(image), marked, shares=shares, draws=2)
    keys = torch.zeros(reading.length, dtype=torch.bool)
    keys[reading.prompt.image[[5, 77]]] = True
    rows = torch.arange(reading.length) >= reading.first_row
    cut = (range(NUM_LAYERS), rows, keys)
    token = reading.answer(max_new_tokens=1).ids[0]
    answer = session.backbone.processor.tokenizer.decode([token])
    single = probes.deletion_curve(
        session, asked(image), marked, shares=shares, draws=2, answer=answer
    )
    expected = dense_logprobs(session.backbone, reading.batch, cut)[token].exp()
    assert single.top[1] == pytest.approx(float(expected), rel=1e-4)
    assert found.top[0] != found.top[1]


def test_random_orders_repeat_with_their_seed(session, image, weights):
    def curve(seed):
        return probes.deletion_curve(
            session, asked(image), weights, shares=[0, 0.5], draws=2, seed=seed
        )

    np.testing.assert_array_equal(curve(3).random, curve(3).random)
    assert (curve(3).random[:, 1] != curve(4).random[:, 1]).any()


# Looking inside


def test_what_is_inside_matches_the_model(session, image):
    backbone = session.backbone
    inside = probes.read_internals(session, asked(image))
    trace = session.ask(image, QUESTION, ["plain"], max_new_tokens=1)["plain"]
    np.testing.assert_allclose(inside.attention, trace.rows[0], atol=1e-6, rtol=1e-5)
    reading = reading_of(backbone, image)
    attention.select(backbone.model, "eager")
    try:
        with torch.no_grad():
            out = backbone.model(
                **reading.batch.inputs, output_attentions=True, output_hidden_states=True
            )
    finally:
        attention.select(backbone.model, attention.NAME)
    image_tokens = reading.prompt.image
    mean = torch.stack(out.attentions)[:, 0].mean(1)[:, reading.first_row :][..., image_tokens]
    np.testing.assert_allclose(inside.columns, mean.mean(1), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(inside.dynamics, mean.amax(1), atol=1e-5, rtol=1e-5)
    states = torch.stack(out.hidden_states)[1:NUM_LAYERS, 0]
    np.testing.assert_allclose(inside.states, states[:, image_tokens], atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(inside.first, states[:, 0], atol=1e-4, rtol=1e-5)


def test_value_norms_are_those_of_projected_values(session, image):
    backbone, kept = session.backbone, []
    inside = probes.read_internals(session, asked(image))
    reading = reading_of(backbone, image)
    block = backbone.model.get_decoder().layers[2].self_attn
    handle = block.v_proj.register_forward_hook(lambda _, args, out: kept.append(out[0]))
    with torch.no_grad():
        backbone.model(**reading.batch.inputs)
    handle.remove()
    values = kept[0][reading.prompt.image].unflatten(1, (2, 8)).repeat_interleave(2, 1)
    parts = block.o_proj.weight.unflatten(1, (NUM_HEADS, 8))
    expected = torch.einsum("nhd,ohd->hno", values, parts).norm(dim=-1).detach()
    np.testing.assert_allclose(inside.value_norms[2], expected, rtol=1e-4)


# What holds for all


def test_probes_leave_nothing_behind(session, image, weights):
    def plain():
        return session.ask(image, QUESTION, ["plain"], max_new_tokens=3)["plain"]

    before = plain()
    hooks = [len(block._forward_pre_hooks) for block in session.backbone.model.modules()]
    probes.knockout(session, asked(image), flows=["image->last"])
    probes.exit_sweep(session, asked(image))
    probes.head_divergence(session, asked(image))
    probes.deletion_curve(session, asked(image), weights, shares=[0, 0.5], draws=2)
    after = plain()
    np.testing.assert_array_equal(before.logprobs, after.logprobs)
    np.testing.assert_array_equal(before.rows, after.rows)
    assert hooks == [len(block._forward_pre_hooks) for block in session.backbone.model.modules()]


def test_a_stopped_probe_stops(session, image, weights):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        probes.exit_sweep(session, asked(image), cancel=stop)
    with pytest.raises(Cancelled):
        probes.head_divergence(session, asked(image), cancel=stop)
    with pytest.raises(Cancelled):
        probes.deletion_curve(session, asked(image), weights, cancel=stop)


def test_progress_ends_at_the_total_and_results_are_json(session, image):
    seen = []
    found = probes.knockout(session, asked(image), progress=lambda *pair: seen.append(pair))
    assert seen[-1] == (1 + 3 * NUM_LAYERS, 1 + 3 * NUM_LAYERS)
    shown = json.loads(json.dumps(found.as_json()))
    assert np.shape(shown["change"]) == (3, NUM_LAYERS)
    assert shown["flows"] == list(probes.FLOWS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"flows": ["image->moon"]}, "Unknown flow 'image->moon'"),
        ({"flows": ["object->last"]}, "needs the object's box"),
        ({"window": 99}, "window has 99 layers"),
        ({"answer": " "}, "answer to track is empty"),
    ],
)
def test_a_mistake_in_a_knockout_gives_one_sentence(session, image, options, words):
    with pytest.raises(InputError, match=words):
        probes.knockout(session, asked(image), **options)


@pytest.mark.parametrize(
    ("changed", "options", "words"),
    [
        (np.ones(3), {}, "shape \\(3,\\)"),
        (-np.ones(144), {}, "at least 0"),
        (np.ones(144), {"shares": [0.5, 0.1]}, "ascend"),
        (np.ones(144), {"draws": 1}, "expected at least 2"),
    ],
)
def test_a_mistake_in_a_deletion_gives_one_sentence(session, image, changed, options, words):
    with pytest.raises(InputError, match=words):
        probes.deletion_curve(session, asked(image), changed, **options)
