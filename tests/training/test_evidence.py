"""The evidence that answers give about places, and the loss that learns from it."""

import json

import pytest
import torch
from transformers import set_seed

from tests.support.tiny import tiny_adapter
from tests.support.tiny_training import arguments, save_scenes, save_tiny_model
from tests.training.test_families import TURNS, items_of, picture, refuse
from training.adapter.arguments import VIFArguments
from training.adapter.evidence import gradients
from training.adapter.model import VIFModel
from training.adapter.passes.losses import map_loss, repulsion_loss, responsibility
from training.adapter.passes.steering import Mixer
from training.data.batches import Collator
from training.data.encoding import ANSWER, Encoder
from training.data.records import Record
from training.train_vif import make_adapter, train
from vif.adapter import VIFAdapter
from vif.adapter.outputs import Rendered
from vif.adapter.published import PublishedVIF
from vif.check.models import tiny_backbone
from vif.model.attention import KEYWORD
from vif.model.backbone import Backbone
from vif.model.rows import Mix

LAYERS, STRENGTH = [2, 3, 4], 0.7


def answer_logprob(backbone, item, row, turn, weights):
    """log p(answer) in one pass of image, prompt and answer; its rows alone are steered."""
    start = item.head["input_ids"].shape[1]
    ids = torch.cat([item.head["input_ids"][0], torch.from_numpy(row.ids)])[None]
    answer = torch.from_numpy((row.part == ANSWER) & (row.turn == turn)).nonzero().squeeze(1)
    turns = torch.full(ids.shape, -1)
    turns[0, start + answer - 1] = 0
    mix = Mix(
        columns=item.columns[None],
        map=weights[None, None],
        strength=torch.full((1, 1, backbone.num_heads), STRENGTH),
        first_row=torch.tensor([start]),
        turns=turns,
    )
    with torch.no_grad():
        logits = backbone.model(
            input_ids=ids,
            pixel_values=item.head["pixel_values"],
            use_cache=False,
            **{KEYWORD: Mixer(lambda layer: mix if layer in LAYERS else None)},
        ).logits[0]
    found = logits[start + answer - 1].log_softmax(-1)
    return float(found.gather(1, ids[0, start + answer][:, None]).double().sum())


@pytest.mark.parametrize("whole", [False, True])
def test_the_gradient_is_what_moving_attention_does_to_the_answer(whole):
    backbone = tiny_backbone("llava")
    item = Encoder(backbone).encode(
        0,
        picture(0),
        [Record("both", "x.png", list(TURNS)), Record("one", "x.png", [TURNS[1]])],
        refuse,
    )
    VIFModel(backbone, tiny_adapter(), "adapter")  # freezes
    (shard,) = Collator(whole)([item])["shards"]
    found = gradients(backbone.model, shard, LAYERS, STRENGTH, whole)
    number, step = len(item.columns), 1e-2
    uniform = torch.full((number,), 1 / number)
    asked = [(row, turn) for row in item.rows for turn in range(len(row.turns))]
    real = torch.nonzero(shard.row >= 0).squeeze(1).tolist()
    assert len(asked) == len(real) == 3
    for q, (row, turn) in zip(real, asked, strict=True):
        assert found.value[q] == pytest.approx(
            answer_logprob(backbone, item, row, turn, uniform), abs=1e-3
        )
        for place in (0, number // 2):
            shift = torch.zeros(number)
            shift[place] = step
            high, low = (
                answer_logprob(backbone, item, row, turn, uniform + sign * shift)
                for sign in (1, -1)
            )
            assert float(found.map[q, place]) == pytest.approx(
                (high - low) / (2 * step), abs=2e-3, rel=0.05
            )


@pytest.mark.parametrize("name", ["paligemma", "qwen2_5_vl", "llava_next", "gemma3"])
def test_shared_and_whole_passes_agree_on_any_family(name):
    backbone = tiny_backbone(name)
    _, items = items_of(backbone)
    model = VIFModel(backbone, tiny_adapter())
    found = []
    for whole in sorted({True, model.whole}):
        (shard,) = Collator(whole)(items)["shards"]
        part = gradients(model.vlm, shard, LAYERS, STRENGTH, whole)
        found.append(part.map[shard.row >= 0])
        assert torch.isfinite(part.map).all()
        assert part.map.abs().max() > 0
    for other in found[1:]:
        assert torch.allclose(found[0], other, atol=1e-4, rtol=1e-2)


def test_some_questions_can_be_asked_alone():
    backbone = tiny_backbone("llava")
    _, items = items_of(backbone)
    model = VIFModel(backbone, tiny_adapter())
    (shard,) = Collator(False)(items)["shards"]
    everything = gradients(model.vlm, shard, LAYERS, STRENGTH)
    wanted = torch.zeros_like(shard.row, dtype=torch.bool)
    wanted[torch.nonzero(shard.row >= 0)[-1]] = True
    some = gradients(model.vlm, shard, LAYERS, STRENGTH, wanted=wanted)
    assert torch.allclose(some.map[wanted], everything.map[wanted], atol=1e-5)
    assert torch.allclose(some.value[wanted], everything.value[wanted], atol=1e-5)
    assert not some.map[~wanted].any()


def rendered(weights, means=None, shares=None):
    """Maps (Q, N) as if rendered; one component, whose pointing is the map itself."""
    means = torch.zeros(len(weights), 1, 2) if means is None else means
    shares = torch.ones(len(weights), means.shape[1]) if shares is None else shares
    pointing = weights[:, None].expand(-1, means.shape[1], -1)
    sigmas = torch.full(means.shape[:2], 0.05)
    return Rendered(None, pointing, means, sigmas, shares, weights, None)


def test_the_loss_has_the_gradient_of_the_marginal_likelihood():
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    evidence = torch.randn(2, 5, generator=torch.Generator().manual_seed(2))
    map_ = logits.softmax(1)
    marginal = -(map_.log() + evidence).logsumexp(1).sum()
    (expected,) = torch.autograd.grad(marginal, logits, retain_graph=True)
    map_loss(rendered(map_), responsibility(map_, evidence, 1.0)).sum().backward()
    assert torch.allclose(logits.grad, 2 * expected, atol=1e-5)


def test_a_prior_without_power_leaves_the_word_to_the_answer():
    prior = torch.tensor([[0.97, 0.01, 0.01, 0.01]])
    evidence = torch.tensor([[0.0, 3.0, 0.0, 0.0]])
    assert torch.allclose(responsibility(prior, evidence, 0.0), evidence.softmax(1))
    shares = [float(responsibility(prior, evidence, power)[0, 1]) for power in (0.0, 0.5, 1.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5 > shares[2]


def test_the_power_of_the_prior_rises_to_one_while_the_map_is_trained():
    vif = VIFArguments(teacher_prior=0.2, map_steps=100)
    powers = [vif.plan(0, step, 8).prior_power for step in (0, 40, 80, 99, 100)]
    assert powers == pytest.approx([0.2, 0.6, 1, 1, 1])
    assert VIFArguments(teacher_prior=0.2).plan(0, 0, 8).prior_power == 1


def test_components_on_one_another_repel_unless_one_has_all_the_weight():
    together = torch.full((1, 2, 2), 0.5)
    apart = torch.tensor([[[0.1, 0.1], [0.9, 0.9]]])
    half, one = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    weights = torch.full((1, 4), 0.25)
    assert float(repulsion_loss(rendered(weights, together, half))) == pytest.approx(0.5)
    assert float(repulsion_loss(rendered(weights, apart, half))) == pytest.approx(0, abs=1e-6)
    assert float(repulsion_loss(rendered(weights, together, one))) == pytest.approx(0)


def test_the_published_form_is_trained_by_flags(tmp_path):
    flags = {"encoder": "published", "means": "head", "renderer": "softmax", "grid": "endpoint"}
    model = save_tiny_model(tmp_path / "model")
    vif, args = arguments(
        model, save_scenes(tmp_path / "scenes", 3), tmp_path / "run",
        **flags, box_weight=0.0, teacher_weight=0.5, map_steps=1, max_steps=3,
    )  # fmt: skip
    before = make_adapter(vif, Backbone.load(model)).state_dict()
    set_seed(args.seed)
    train(vif, args)
    adapter = VIFAdapter.from_pretrained(tmp_path / "run")
    assert isinstance(adapter, PublishedVIF)
    assert adapter.config.trained_on == "3 images with 9 questions, from their answers alone"
    after = adapter.state_dict()
    moved = [n for n, tensor in before.items() if not torch.allclose(tensor, after[n], atol=1e-3)]
    assert any("posterior_encoder" in name for name in moved)
    assert any("prior_encoder" in name for name in moved)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").open()]
    losses = [line for line in lines if "loss" in line]
    assert len(losses) == 3
    assert all("evidence" in line for line in losses)
    assert losses[-1]["asked"] == 9
    assert losses[-1]["without_evidence"] == 0
