"""Training sees exactly what inference sees, and can be interrupted."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tiny import tiny_model, tiny_session
from training import pretrain, train_vif
from training.arguments import VIFArguments
from training.lanes import LANES
from training.packing import CELLS, FAMILY_INDEX, PackedScenes, PackingConfig
from training.pretrain import answer_logits, build_model
from training.processor import NUM_IMAGE_TOKENS
from training.steering import Steering, Truth
from vif import attention
from vif.errors import InputError
from vif.scenes import ask_scene, draw_scene
from vif.settings import Settings

PACKING = PackingConfig(
    split="test", batch_size=2, questions=4, text_share=0, gap_share=0, unknown_share=0
)


def packed_model():
    model = tiny_model().eval()
    model.set_attn_implementation({"text_config": LANES})
    attention.watch(model)
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


@torch.no_grad()
def test_training_injects_what_inference_injects():
    """Same map, same strength, same effect on the first answer token, for VIF and the oracle."""
    session = tiny_session()
    settings = Settings(learning=(2, 2), injection=(3, 5), alpha=0.7)
    batch = PackedScenes(PACKING, 1)[0]
    for name, kind in (("vif", Steering), ("oracle", Truth)):
        tap = kind(session.adapter, batch, settings, posterior=False)
        found = logits_by_block(batch, *answer_logits(packed_model(), batch, tap)[:2])
        for (i, k), values in found.items():
            scene, question = single(session, PACKING, k, i)
            boxes = [tuple(v / 192 for v in box) for box in question.boxes]
            items = [(scene.image, question.text, "", boxes)]
            one = replace(settings, max_new_tokens=1)
            trace = session.ask_batch(items, [name], one)[name][0]
            suppressed = session.backbone.model.generation_config.suppress_tokens
            values = values.clone()
            values[suppressed] = float("-inf")
            expected = float(values.log_softmax(-1).max())
            assert np.isclose(trace.logprobs[0], expected, atol=2e-3), (name, i, k)


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


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    pretrain.export(build_model(0), folder)
    return folder


def arguments(folder, model, **changes):
    values = {
        "model_name_or_path": str(model),
        "output": str(folder / "adapter"),
        "work": str(folder / "work"),
        "steps": 4,
        "batch_size": 2,
        "questions": 3,
        "latent_hidden_size": 16,
        "latent_ffn_dim": 16,
        "latent_num_layers": 1,
        "latent_num_heads": 2,
        "latent_num_components": 2,
        "box_weight": 0.3,
        "map_steps": 1,
        "gate_steps": 2,
        "validation_batches": 1,
        "save_steps": 2,
    }
    return VIFArguments(**values | changes)


def test_an_interrupted_adapter_run_ends_at_the_same_weights(small_model, tmp_path, monkeypatch):
    whole = train_vif.train(arguments(tmp_path / "whole", small_model)).state_dict()
    real, seen = train_vif.step, []

    def dies_at_three(args, model, adapter, optimisers, index, batch):
        if index == 3 and not seen:
            seen.append(index)
            raise KeyboardInterrupt
        return real(args, model, adapter, optimisers, index, batch)

    monkeypatch.setattr(train_vif, "step", dies_at_three)
    with pytest.raises(KeyboardInterrupt):
        train_vif.train(arguments(tmp_path / "parts", small_model))
    resumed = train_vif.train(arguments(tmp_path / "parts", small_model)).state_dict()
    assert seen
    for name, tensor in whole.items():
        assert torch.allclose(tensor, resumed[name], atol=1e-6), name


def test_the_log_says_what_happened_and_the_adapter_loads(small_model, tmp_path):
    from vif import load

    train_vif.train(arguments(tmp_path, small_model))
    lines = [json.loads(line) for line in (tmp_path / "work" / "log.jsonl").open()]
    shown = [line["validation"] for line in lines if "validation" in line]
    assert {"plain", "vif", "oracle", "pointing", "gate", "text"} <= set(shown[-1])
    session = load(small_model, tmp_path / "adapter")
    assert session.defaults.injection == (2, 7)
    trace = session.ask(draw_scene(0).image, "What colour is the star?", ["vif"])["vif"]
    assert trace.mixtures[0].means.shape == (2, 2)


def test_published_flag_names_are_understood():
    from transformers import HfArgumentParser

    line = (
        "--use_latent_importance True --latent_learning_start 2 --latent_learning_end 3 "
        "--latent_apply_start 4 --latent_apply_end 6 --latent_layer_stride 2 "
        "--latent_kl_weight 0.2 --latent_sparsity_weight 0.3 --latent_entropy_weight 0.5 "
        "--latent_volume_weight 0.6 --latent_num_components 5 --latent_num_layers 2 "
        "--latent_num_heads 2 --latent_hidden_size 64 --latent_ffn_dim 128 "
        "--latent_min_sigma 0.05 --latent_bias_alpha 0.4"
    )
    args = HfArgumentParser(VIFArguments).parse_args_into_dataclasses(line.split())[0]
    assert args.settings == Settings(learning=(2, 3), injection=(4, 6), stride=2, alpha=0.4)
    assert args.latent_num_components == 5


def test_pretraining_runs_and_resumes(tmp_path):
    config = pretrain.PretrainConfig(
        steps=2, tower_steps=2, batch_size=2, questions=2, validation_batches=1
    )
    pretrain.pretrain(config, tmp_path / "work", tmp_path / "model")
    pretrain.pretrain(config, tmp_path / "work", tmp_path / "model")
    lines = [json.loads(line) for line in (tmp_path / "work" / "log.jsonl").open()]
    assert any("validation" in line for line in lines)
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 10_000_000


def test_switching_vif_off_is_refused(small_model, tmp_path):
    with pytest.raises(InputError, match="use_latent_importance is False"):
        train_vif.train(arguments(tmp_path, small_model, use_latent_importance=False))
