"""Gradients, losses and the contents of a batch."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from tests.support.tiny import tiny_adapter
from tests.training.test_families import SETTINGS, TURNS, items_of, picture, refuse
from training.adapter.model import NOTHING, VIFModel
from training.adapter.plan import Plan
from training.adapter.tuning import unfreeze
from training.data.batches import BOXED, QUESTIONS, TOKENS, Collator
from training.data.encoding import Encoder
from training.data.records import Record
from vif.adapter import latent
from vif.check.models import tiny_backbone

POSTERIOR = Plan(SETTINGS, posterior=True, noise=True, seed=5)
# They shift all logits of a softmax alike, so that nothing depends on them.
INERT = {"keys.bias", "weight_head.bias"}


def made(family="llava", tune="adapter"):
    backbone = tiny_backbone(family)
    unfreeze(backbone, tune, rank=2, alpha=4.0, dropout=0.0)
    return VIFModel(backbone, tiny_adapter().requires_grad_(True), tune).train()


def batch_of(model, boxes=((10.0, 10.0, 60.0, 50.0),), apart=True):
    """Two images, with their questions as separate records or as turns of one."""
    turns = [replace(turn, boxes=[list(box) for box in boxes]) for turn in TURNS]
    records = [Record(str(k), "x.png", [turn]) for k, turn in enumerate(turns)]
    records = records if apart else [Record("all", "x.png", turns)]
    encoder = Encoder(model.backbone)
    items = [encoder.encode(i, picture(i), records, refuse) for i in range(2)]
    return Collator(model.whole)(items)


def total(parts):
    return sum(parts[name] for name in ("lm", "kl", "entropy", "volume", "box"))


def gradients(model, batch, plan=POSTERIOR):
    model.zero_grad()
    total(model(batch, plan)).backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


CASES = [("llava", tune) for tune in ("adapter", "lora", "full")]
CASES += [(name, "full") for name in ("gemma3", "paligemma", "qwen2_5_vl")]


@pytest.mark.parametrize(("family", "tune"), CASES)
def test_every_adapter_parameter_learns_with_and_without_checkpointing(family, tune):
    model = made(family, tune)
    batch = batch_of(model)
    plain = gradients(model, batch)
    model.activation_checkpointing_enable()
    again = gradients(model.train(), batch)
    assert plain.keys() == again.keys()
    for name, _ in model.adapter.named_parameters():
        if name not in INERT:
            assert plain[f"adapter.{name}"].abs().max() > 1e-9, name
    for name, gradient in plain.items():
        assert torch.allclose(gradient, again[name], atol=1e-5, rtol=1e-3), name
    tuned = [name for name in plain if name.startswith("vlm.")]
    assert bool(tuned) == (tune != "adapter")
    if tune == "lora":
        assert all("lora_" in name for name in tuned)


def test_checkpointing_runs_layers_again():
    """Without this, the test above would compare equal things."""
    model = made()
    batch, count = batch_of(model), [0]
    handle = (
        model.vlm.get_decoder()
        .layers[4]
        .mlp.register_forward_pre_hook(lambda *_: count.__setitem__(0, count[0] + 1))
    )
    gradients(model, batch)
    before, count[0] = count[0], 0
    model.activation_checkpointing_enable()
    gradients(model.train(), batch)
    handle.remove()
    assert count[0] > before


def test_a_frozen_backbone_does_not_move_and_gets_no_gradient():
    model = made()
    assert not any(name.startswith("vlm.") for name in gradients(model, batch_of(model)))
    assert not any(
        part.training
        for part in model.vlm.get_decoder().layers[0].modules()
        if not hasattr(part, "self_attn")
    )


def test_full_tuning_leaves_the_vision_tower_alone():
    model = made(tune="full")
    names = gradients(model, batch_of(model))
    assert not any("vision" in name for name in names)
    assert any("projector" in name for name in names)


@pytest.mark.parametrize("apart", [True, False])
@torch.no_grad()
def test_shared_images_and_whole_sequences_give_the_same_losses(apart):
    model = made()
    plan = replace(POSTERIOR, gap_share=0.5, gap_max=20)
    shared = model(batch_of(model, apart=apart), plan)
    model.whole = True
    whole = model(batch_of(model, apart=apart), plan)
    assert shared.keys() == whole.keys()
    for name, value in shared.items():
        assert torch.allclose(value, whole[name], rtol=1e-4, atol=1e-5), name
    without = model(batch_of(model, apart=apart), replace(plan, gap_max=0))
    assert not torch.allclose(whole["lm"], without["lm"], rtol=1e-4)


@torch.no_grad()
def test_losses_come_from_every_learning_layer():
    model = made()
    batch = batch_of(model)
    both = model(batch, replace(POSTERIOR, noise=False))
    alone = []
    for layer in (1, 2):
        settings = replace(SETTINGS, learning=(layer, layer))
        alone.append(model(batch, replace(POSTERIOR, noise=False, settings=settings)))
    for name in ("kl", "entropy", "volume", "box"):
        parts = [part[name] for part in alone]
        assert not torch.allclose(parts[0], parts[1], rtol=1e-3)
        assert torch.allclose(both[name], sum(parts) / 2, rtol=1e-4)


def test_kl_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(3, 4, 5, generator=generator) for _ in range(4)]
    q, p = latent.Gaussian(*drawn[:2]), latent.Gaussian(*drawn[2:])
    normals = [Independent(Normal(g.mean, (g.log_variance / 2).exp()), 2) for g in (q, p)]
    expected = kl_divergence(*normals) / 20
    assert torch.allclose(latent.kl_divergence(q, p), expected, rtol=1e-5)


@torch.no_grad()
def test_the_answer_loss_is_cross_entropy_of_answer_tokens():
    model = made().eval()
    batch = batch_of(model)
    answers = model.run(batch["shards"][0], POSTERIOR).answers
    chosen = answers.logits.log_softmax(-1).gather(1, answers.labels[:, None])
    assert len(chosen) == batch["counts"][TOKENS] == 2 * (2 + 5)
    assert torch.allclose(model(batch, POSTERIOR)["lm"], -chosen.sum(), rtol=1e-5)


@torch.no_grad()
def test_text_alone_adds_to_the_answer_loss_only():
    model = made(tune="lora").eval()
    encoder, items = items_of(model.backbone)
    spoken = encoder.encode(9, None, [Record("text", None, [TURNS[0]])], refuse)
    collate = Collator(whole=True)
    apart = [model(collate(part), POSTERIOR) for part in (items, [spoken])]
    assert set(apart[1]) == {"lm", NOTHING}
    batch = collate([items[0], spoken, items[1], None])
    together = model(batch, POSTERIOR)
    assert batch["counts"][QUESTIONS] == 4
    for name, value in together.items():
        expected = apart[0][name] + (apart[1]["lm"] if name == "lm" else 0)
        assert torch.allclose(value, expected, rtol=1e-4, atol=1e-5), name
    assert model(collate([spoken]), replace(POSTERIOR, map_only=True)) == {NOTHING: 0}


def test_text_alone_begins_as_the_tokenizer_begins_a_text(monkeypatch):
    backbone = tiny_backbone("llava")
    written = backbone.processor.chat_template
    begun = []
    for template in (written, written.replace("<bos>", "")):
        monkeypatch.setattr(backbone.processor, "chat_template", template)
        item = Encoder(backbone).encode(0, None, [Record("text", None, [TURNS[0]])], refuse)
        begun.append(item.rows[0].ids.tolist())
    assert begun[0][0] == backbone.processor.tokenizer.bos_token_id
    assert begun[0] == begun[1]


def test_a_batch_without_anything_to_look_at_gives_every_parameter_a_gradient_of_0():
    """Processes that share gradients have to agree on which parameters have one."""
    model = made(tune="lora")
    model(Collator(whole=True)([None]), POSTERIOR)[NOTHING].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or not parameter.grad.any()


@torch.no_grad()
def test_without_boxes_there_is_no_box_loss():
    model = made()
    batch = batch_of(model, boxes=())
    assert batch["counts"][BOXED] == 0
    assert model(batch, POSTERIOR)["box"] == 0


@torch.no_grad()
def test_images_of_different_sizes_share_a_batch():
    model = made("qwen2_5_vl").eval()
    encoder = Encoder(model.backbone)
    records = [Record("x", "x.png", [TURNS[0]])]
    items = [
        encoder.encode(i, picture(i).resize(size), records, refuse)
        for i, size in enumerate([(112, 80), (168, 112)])
    ]
    assert len(items[0].columns) != len(items[1].columns)
    collate = Collator(whole=False)
    both, first, second = (
        model(collate(part), POSTERIOR) for part in (items, items[:1], items[1:])
    )
    for name, value in both.items():
        assert torch.allclose(value, first[name] + second[name], rtol=1e-4), name


@torch.no_grad()
def test_noise_depends_on_seed_and_question_alone():
    model = made().eval()
    batch = batch_of(model)
    first, again = (model(batch, POSTERIOR)["lm"] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, model(batch, replace(POSTERIOR, seed=6))["lm"])
