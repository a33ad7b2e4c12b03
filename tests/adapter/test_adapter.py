"""The latent, the adapter and their files."""

import json

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from tests.support.tiny import HIDDEN, NUM_HEADS, NUM_LAYERS, tiny_adapter, tiny_model, tiny_session
from training.pretrain.processor import build_processor
from vif.adapter.base import VIFAdapter
from vif.adapter.latent import NUM_RELATIVE_FEATURES, Gaussian, kl_divergence, relative_features
from vif.adapter.sparsity import sparsity
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.session import Session


def states(batch=2, length=160, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(batch, length, HIDDEN, generator=generator)
    image = torch.zeros(batch, length, dtype=torch.bool)
    image[:, 2:146] = True
    question = torch.zeros_like(image)
    question[:, 147:155] = True
    answer = torch.zeros_like(image)
    answer[:, 155:158] = True
    return hidden, image, question, answer


def test_kl_matches_torch_and_is_zero_for_equals():
    generator = torch.Generator().manual_seed(0)
    q, p = (Gaussian(*torch.randn(2, 5, 3, 4, generator=generator)) for _ in range(2))
    normal = [Normal(g.mean, (0.5 * g.log_variance).exp()) for g in (q, p)]
    assert torch.allclose(kl_divergence(q, p), torch_kl(*normal).flatten(1).mean(1), atol=1e-5)
    assert (kl_divergence(q, p) >= 0).all()
    assert kl_divergence(q, q).abs().max() == 0


def test_infer_returns_distributions_on_any_grid():
    adapter = tiny_adapter()
    hidden, image, question, _ = states()
    out = adapter.infer(hidden, image, question)
    assert torch.allclose(out.map.sum(-1), torch.ones(2), atol=1e-5)
    assert torch.allclose(out.weights.sum(-1), torch.ones(2), atol=1e-5)
    assert out.means.min() >= 0
    assert out.means.max() <= 1
    assert (out.sigmas >= adapter.config.min_sigma).all()
    assert out.gate.shape == (2, NUM_LAYERS, NUM_HEADS)
    assert out.gate.min() > 0
    assert out.gate.max() < 2
    image[:, 140:146] = False
    with pytest.raises(ValueError, match="centres"):
        adapter.infer(hidden, image, question)
    centres = torch.rand(138, 2)
    assert adapter.infer(hidden, image, question, centres=centres).map.shape == (2, 138)


def test_the_posterior_reads_the_answer_and_the_prior_does_not():
    adapter = tiny_adapter()
    hidden, image, question, answer = states()
    changed = hidden.clone()
    changed[answer] = changed[answer].flip(-1)
    prior, other = (adapter.infer(h, image, question) for h in (hidden, changed))
    assert torch.equal(prior.z, other.z)
    assert (prior.kl == 0).all()
    posterior, moved = (adapter.infer(h, image, question, answer) for h in (hidden, changed))
    assert not torch.allclose(posterior.z, moved.z)
    assert (posterior.kl > 0).all()


def test_noise_moves_the_latent_and_zero_is_the_mean():
    adapter = tiny_adapter()
    hidden, image, question, _ = states()
    mean = adapter.infer(hidden, image, question)
    again = adapter.infer(hidden, image, question, noise=0.0)
    noisy = adapter.infer(hidden, image, question, noise=torch.ones_like(mean.z))
    assert torch.equal(mean.z, again.z)
    assert not torch.allclose(mean.map, noisy.map)


def test_every_parameter_gets_a_gradient():
    adapter = tiny_adapter().train()
    hidden, image, question, answer = states()
    prior = adapter.infer(hidden, image, question, noise=1.0)
    posterior = adapter.infer(hidden, image, question, answer, noise=1.0)
    values = torch.randn(144, 8)
    loss = posterior.kl.sum()
    for out in (prior, posterior):
        loss = loss + sparsity(out.map, out.sigmas).sum()
        loss = loss + (out.gate.sum(-1, keepdim=True) * (out.map @ values)[:, None]).square().sum()
    loss.backward()
    silent = [n for n, p in adapter.named_parameters() if p.grad is None or not p.grad.any()]
    # A key's bias shifts all logits of a softmax alike.
    assert [name for name in silent if name != "keys.bias"] == []


def test_a_new_adapter_starts_with_one_strength():
    config = tiny_adapter().config
    torch.manual_seed(0)
    adapter = VIFAdapter(config)
    hidden, image, question, _ = states()
    assert torch.equal(
        adapter.infer(hidden, image, question).gate, torch.ones(2, NUM_LAYERS, NUM_HEADS)
    )


def test_save_and_load_give_the_same_maps(tmp_path):
    adapter = tiny_adapter()
    adapter.save_pretrained(tmp_path)
    loaded = VIFAdapter.from_pretrained(tmp_path)
    assert loaded.config == adapter.config
    hidden, image, question, _ = states()
    before, after = (a.infer(hidden, image, question).map for a in (adapter, loaded))
    assert torch.allclose(before, after, atol=5e-3)
    again = tmp_path / "again"
    loaded.save_pretrained(again)
    reloaded = VIFAdapter.from_pretrained(again)
    assert torch.equal(after, reloaded.infer(hidden, image, question).map)


def test_bad_adapters_give_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"config\.json is missing"):
        VIFAdapter.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="No adapter"):
        VIFAdapter.from_pretrained(tmp_path / "nowhere")
    tiny_adapter().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"width": 24}))
    with pytest.raises(InputError, match="cannot be read"):
        VIFAdapter.from_pretrained(tmp_path)


def test_an_adapter_of_another_model_is_refused():
    adapter = tiny_adapter()
    backbone = Backbone(tiny_model(), build_processor(), "tiny")
    object.__setattr__(adapter.config, "num_layers", 32)
    with pytest.raises(InputError, match="32 layers"):
        Session(backbone, adapter)


def test_without_an_adapter_vif_says_so(image):
    session = Session(tiny_session().backbone)
    with pytest.raises(InputError, match="adapter"):
        session.ask(image, "What?", ["vif"])
    assert session.ask(image, "What?", ["plain"], max_new_tokens=1)["plain"].tokens


def test_relative_features_tell_direction_and_distance():
    gap = torch.tensor([[0.2, 0.0], [-0.2, 0.0], [0.0, 0.2], [0.0, 0.0]])
    features = relative_features(gap)
    assert features.shape == (4, NUM_RELATIVE_FEATURES)
    right, left, below, here = features
    assert torch.allclose(right[4], -left[4])
    assert abs(float(right[4]) - 1) < 0.15
    assert torch.allclose(right[6], -below[6], atol=1e-5)
    assert here[2] < 2e-3
    assert torch.equal(here[8:], torch.ones(4))


def test_a_new_adapter_points_by_content_alone():
    torch.manual_seed(0)
    adapter = VIFAdapter(tiny_adapter().config)
    assert not adapter.relation.weight.any()
