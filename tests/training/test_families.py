"""For every family, training computes what inference computes, in both forms of reading."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from training.adapter.model import VIFModel
from training.adapter.plan import Plan
from training.data.batches import Collator
from training.data.encoding import ANSWER, QUESTION, Encoder
from training.data.records import Record, Turn
from vif.check.models import tiny_adapter, tiny_backbone
from vif.check.recipes import TINY
from vif.methods import Request, find
from vif.model.batch import Batch
from vif.model.generation import open_stream
from vif.settings import Settings

SETTINGS = Settings(learning=(1, 2), injection=(3, 5), alpha=0.6)
TURNS = (
    Turn("what colour is the big star ?", "what colour is the big star ?", "red"),
    Turn("yes no one two where is it ?", "where is it ?", "left of the circle", "yes no one two"),
)


def picture(seed: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (40, 56, 3), np.uint8)
    return Image.fromarray(values).resize((112, 80))


def refuse(record, reason):
    raise AssertionError(reason)


def items_of(backbone):
    encoder = Encoder(backbone)
    records = [Record(str(k), "x.png", [turn]) for k, turn in enumerate(TURNS)]
    return encoder, [encoder.encode(i, picture(i), records, refuse) for i in range(2)]


@torch.no_grad()
def inference_logits(backbone, adapter, image, turn, answer, method):
    """Logits before every token of an answer, through prompts, taps and caches of inference."""
    prompt = backbone.encode(image, turn.question, turn.context)
    batch = Batch.make(backbone, [prompt])
    tap = find(method).tap(Request(batch, SETTINGS, backbone, adapter))
    stream, found = open_stream(backbone.model, dict(batch.inputs)), []
    for token in answer:
        found.append(stream.advance(tap)[0])
        stream.feed(torch.tensor([token]))
    return torch.stack(found)


@pytest.mark.parametrize("name", TINY)
def test_training_logits_are_those_of_inference(name):
    backbone, adapter = tiny_backbone(name), tiny_adapter()
    _, items = items_of(backbone)
    expected = {}
    for i, item in enumerate(items):
        for k, row in enumerate(item.rows):
            answer = row.ids[row.part == ANSWER].tolist()
            for method in ("plain", "vif"):
                expected[method, 2 * i + k] = inference_logits(
                    backbone, adapter, picture(i), TURNS[k], answer, method
                )
    model = VIFModel(backbone, adapter).eval()
    for whole in {True, model.whole}:
        model.whole = whole
        (shard,) = Collator(whole)(items)["shards"]
        for method in ("plain", "vif"):
            with torch.no_grad():
                found = model.run(shard, Plan(SETTINGS, source=method)).answers
            for q in range(4):
                gap = (found.logits[found.question == q] - expected[method, q]).abs().max()
                assert gap < 2e-4, (whole, method, q, float(gap))


@pytest.mark.parametrize("name", TINY)
def test_questions_and_answers_are_found(name):
    backbone = tiny_backbone(name)
    _, items = items_of(backbone)
    decode = backbone.processor.tokenizer.decode
    for item in items:
        for turn, row in zip(TURNS, item.rows, strict=True):
            end = backbone.processor.tokenizer.eos_token
            assert decode(row.ids[row.part == ANSWER]) == f"{turn.answer} {end}"
            read = decode(row.ids[row.part == QUESTION])
            assert read.startswith(turn.question)
            assert turn.answer not in read
            prompt = backbone.encode(picture(item.key), turn.question, turn.context)
            ids = torch.cat([item.head["input_ids"][0], torch.from_numpy(row.ids)])
            assert torch.equal(ids[: prompt.length], prompt.inputs["input_ids"][0])
            first = item.head["input_ids"].shape[1] + np.flatnonzero(row.part == QUESTION)[0]
            assert first == prompt.question.start


def test_every_turn_of_a_conversation_has_a_map_of_its_own():
    """The second turn's map comes from its own question, and steers its own rows only."""
    backbone, adapter = tiny_backbone("llava"), tiny_adapter()
    encoder = Encoder(backbone)
    item = encoder.encode(0, picture(0), [Record("both", "x.png", list(TURNS))], refuse)
    model = VIFModel(backbone, adapter).eval()
    (shard,) = Collator(whole=False)([item])["shards"]
    with torch.no_grad():
        both = model.run(shard, Plan(SETTINGS))
    first, second = (both.answers.logits[both.answers.question == q] for q in range(2))
    assert len(first) == 2
    assert len(second) == 5
    assert not torch.allclose(both.inferred[1].used.map[0], both.inferred[1].used.map[1], atol=1e-3)
    # Changing the second question leaves the first turn alone.
    other = replace(TURNS[1], text="how many are there ?", question="how many are there ?")
    item = encoder.encode(0, picture(0), [Record("x", "x.png", [TURNS[0], other])], refuse)
    (changed,) = Collator(whole=False)([item])["shards"]
    with torch.no_grad():
        again = model.run(changed, Plan(SETTINGS))
    assert torch.allclose(again.answers.logits[again.answers.question == 0], first, atol=1e-5)
    assert torch.allclose(again.inferred[1].used.map[0], both.inferred[1].used.map[0], atol=1e-5)


def test_prefill_steers_questions_but_not_answers():
    backbone, adapter = tiny_backbone("llava"), tiny_adapter()
    _, items = items_of(backbone)
    model = VIFModel(backbone, adapter).eval()
    (shard,) = Collator(whole=False)(items)["shards"]
    settings = replace(SETTINGS, phase="prefill")
    with torch.no_grad():
        found = model.run(shard, Plan(settings)).answers
        both = model.run(shard, Plan(SETTINGS)).answers
    tap_settings = replace(settings)
    for q in range(4):
        turn, image = TURNS[q % 2], picture(q // 2)
        row = items[q // 2].rows[q % 2]
        prompt = backbone.encode(image, turn.question, turn.context)
        batch = Batch.make(backbone, [prompt])
        tap = find("vif").tap(Request(batch, tap_settings, backbone, adapter))
        stream = open_stream(backbone.model, dict(batch.inputs))
        mine = found.question == q
        for k, token in enumerate(row.ids[row.part == ANSWER].tolist()):
            logits = stream.advance(tap)[0]
            assert torch.allclose(found.logits[mine][k], logits, atol=2e-4)
            stream.feed(torch.tensor([token]))
    assert not torch.allclose(found.logits, both.logits, atol=1e-3)
