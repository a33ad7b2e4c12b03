"""Pre-training sees exactly what inference sees, and can be interrupted."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_model, tiny_session
from training.pretrain import train as pretrain
from training.pretrain.lanes import LANES
from training.pretrain.packing import CELLS, FAMILY_INDEX, PackedScenes, PackingConfig
from training.pretrain.processor import NUM_IMAGE_TOKENS
from training.pretrain.train import answer_logits
from vif.scenes import ask_scene, draw_scene

PACKING = PackingConfig(
    split="test", batch_size=2, questions=4, text_share=0, gap_share=0, unknown_share=0
)


def packed_model():
    model = tiny_model().eval()
    model.set_attn_implementation({"text_config": LANES})
    return model


def single(session, packing, k, i):
    """The same question asked through the session: its trace data by hand."""
    scene = draw_scene(packing.first_seed + i, packing.split)
    question = ask_scene(scene, packing.first_seed + i, packing.questions, packing.weights)[k]
    return scene, question


def logits_by_block(batch, logits, labels):
    """First answer token's logits of every question, {(i, k): (V,)}."""
    row, column = torch.nonzero(batch["labels"][:, 1:] >= 0, as_tuple=True)
    block = batch["block"][:, 1:][row, column] - 1
    found = {}
    for i, k, values in zip(row.tolist(), block.tolist(), logits, strict=True):
        found.setdefault((i, k), values)
    return found


@torch.no_grad()
def test_a_packed_question_gets_the_logits_of_a_single_one():
    batch = PackedScenes(PACKING, 1)[0]
    found = logits_by_block(batch, *answer_logits(packed_model(), batch)[:2])
    assert len(found) == 8
    session = tiny_session()
    for (i, k), values in found.items():
        scene, question = single(session, PACKING, k, i)
        prompt = session.backbone.encode(scene.image, question.text)
        out = session.backbone.model(**prompt.inputs).logits[0, -1]
        assert torch.allclose(values, out, atol=1e-3), (i, k)


def test_questions_in_a_lane_do_not_see_each_other():
    batch = PackedScenes(replace(PACKING, text_share=1.0), 1)[0]
    model = packed_model()
    with torch.no_grad():
        before = logits_by_block(batch, *answer_logits(model, batch)[:2])
        changed = dict(batch)
        other = batch["block"] != 1
        changed["ids"] = torch.where(other, batch["ids"].flip(1), batch["ids"])
        after = logits_by_block(batch, *answer_logits(model, changed)[:2])
    assert torch.allclose(before[0, 0], after[0, 0], atol=1e-5)
    assert not torch.allclose(before[0, 1], after[0, 1], atol=1e-3)


def test_image_tokens_lie_where_the_session_has_them():
    prompt = tiny_session().backbone.encode(draw_scene(1).image, "What?")
    assert np.allclose(CELLS / 192, prompt.layout.cells)


def test_batches_repeat():
    first, again = (PackedScenes(PackingConfig(batch_size=2), 3)[2] for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["family"].max() < len(FAMILY_INDEX)
    assert first["positions"].max() > NUM_IMAGE_TOKENS


@pytest.mark.slow
def test_pretraining_runs_and_resumes(tmp_path):
    config = pretrain.PretrainConfig(
        steps=2, tower_steps=2, batch_size=2, questions=2, validation_batches=1
    )
    pretrain.pretrain(config, tmp_path / "work", tmp_path / "model")
    pretrain.pretrain(config, tmp_path / "work", tmp_path / "model")
    lines = [json.loads(line) for line in (tmp_path / "work" / "log.jsonl").open()]
    assert any("validation" in line for line in lines)
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 10_000_000
