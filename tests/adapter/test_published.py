"""The published form gives what the published code gave, alone and in a session."""

import numpy as np
import pytest
import torch

from tests.support.published import (
    Reference,
    published_adapter,
    random_weights,
    read_fixture,
    sequence,
    write,
)
from tests.support.tiny import HIDDEN, tiny_model
from training.pretrain.processor import build_processor
from vif.adapter import VIFAdapter
from vif.adapter.convert import convert_checkpoint
from vif.adapter.mixture import MixtureParameters, render
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.session import Session

TOLERANCE = 1e-5


def test_a_converted_adapter_gives_the_published_outputs(tmp_path):
    tensors, weights, config = read_fixture()
    convert_checkpoint(write(tmp_path / "in", weights, config), tmp_path / "out")
    adapter = VIFAdapter.from_pretrained(tmp_path / "out")
    inputs = [tensors[f"in.{n}"] for n in ("hidden_states", "vision_mask", "question_mask")]
    for name, answer in (("prior", None), ("post", tensors["in.answer_mask"])):
        out = adapter.infer(*inputs, answer)
        found = {"z": out.z, "mean": out.means, "sigma": out.sigmas[..., None]}
        found |= {"weight": out.weights, "heat": out.map, "sparsity": out.sparsity.mean()[None]}
        if answer is not None:
            found["kl"] = out.kl.mean()[None]
        for key, value in found.items():
            expected = tensors[f"out.{name}_{key}"]
            assert value.shape == expected.shape
            assert (value - expected).abs().max() <= TOLERANCE, (name, key)


def test_a_bias_row_is_the_map_on_the_image_and_nothing_elsewhere(tmp_path):
    """The fixture's row is not steered: it is empty."""
    tensors, weights, config = read_fixture()
    adapter = convert_checkpoint(write(tmp_path / "in", weights, config), tmp_path / "out")
    image, question = tensors["in.vision_mask"], tensors["in.question_mask"]
    out = adapter.infer(tensors["in.hidden_states"], image, question)
    rows = torch.zeros(*image.shape, image.shape[1])
    rows[image[:, None].expand_as(rows)] = out.map[:, None].expand(-1, 591, -1).flatten()
    rows = rows * question[..., None]
    assert torch.equal(rows[:, -1], tensors["out.prior_bias_row"])
    assert torch.equal(rows[:, 0][image].view(2, -1), out.map)
    assert torch.allclose(rows.sum(-1), question.float(), atol=1e-5)


SHAPES = [
    # hidden, width, depth, heads, ffn, K, min sigma
    (24, 24, 1, 2, 40, 3, 0.035),
    (24, 16, 3, 4, 16, 5, 0.1),
    (16, 48, 2, 8, 96, 16, 0.0),
    (20, 12, 2, 1, 30, 1, 0.02),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_loads_and_gives_what_the_reference_gives(tmp_path, shape):
    hidden, width, depth, heads, ffn, count, min_sigma = shape
    weights = random_weights(hidden, width, depth, ffn, count)
    config = {
        "hidden_size": hidden, "num_hidden_layers": 8, "num_attention_heads": 4,
        "latent_hidden_size": width, "latent_num_layers": depth, "latent_num_heads": heads,
        "latent_ffn_dim": ffn, "latent_num_components": count, "latent_min_sigma": min_sigma,
        "latent_entropy_weight": 0.5, "latent_volume_weight": 3.0,
    }  # fmt: skip
    convert_checkpoint(write(tmp_path / "in", weights, config), tmp_path / "out")
    adapter = VIFAdapter.from_pretrained(tmp_path / "out")
    states, image, question, answer = sequence(hidden, (4, 4))
    noise = torch.randn(2, count, width, generator=torch.Generator().manual_seed(1))
    expected = Reference(weights, heads, min_sigma)
    for given in (None, answer):
        out = adapter.infer(states, image, question, given, noise)
        for i in range(2):
            row = None if given is None else given[i]
            wanted = expected.infer(states[i], image[i], question[i], row, noise[i])
            wanted["sparsity"] = 0.5 * wanted.pop("entropy") + 3.0 * wanted.pop("volume")
            for name, value in wanted.items():
                gap = (getattr(out, name)[i] - value).abs().max()
                assert gap <= TOLERANCE * max(1, float(torch.as_tensor(value).abs().max())), name


def test_a_map_does_not_depend_on_the_length_of_other_questions():
    adapter = published_adapter()
    states, image, question, answer = sequence(HIDDEN, (3, 9))
    for given in (None, answer):
        together = adapter.infer(states, image, question, given)
        for i in range(2):
            row = slice(i, i + 1)
            part = None if given is None else given[row]
            alone = adapter.infer(states[row], image[row], question[row], part)
            assert torch.allclose(alone.z[0], together.z[i], atol=1e-5)


def test_questions_of_one_image_share_it():
    adapter = published_adapter()
    states, image, question, _ = sequence(HIDDEN, (5, 5))
    states[1, image[1]] = states[0, image[0]]
    memory = adapter.remember(states[:1, 3:19], torch.rand(16, 2))
    z = adapter.latent(memory.tokens, states, question).mean
    out = adapter.render(memory, z)
    expected = adapter.infer(states, image, question)
    assert torch.allclose(out.map, expected.map, atol=1e-6)
    assert out.pointing.shape == (2, 3, 16)
    assert torch.allclose(out.pointing.sum(-1), torch.ones(2, 3), atol=1e-5)


def test_only_unused_parameters_get_no_gradient():
    adapter = published_adapter().train()
    states, image, question, answer = sequence(HIDDEN, (5, 5))
    values = torch.randn(16, 8)
    loss = torch.zeros(())
    for given in (None, answer):
        out = adapter.infer(states, image, question, given, noise=1.0)
        loss = loss + out.kl.sum() + out.sparsity.sum() + (out.map @ values).square().sum()
    loss.backward()
    silent = [n for n, p in adapter.named_parameters() if p.grad is None or not p.grad.any()]
    # The text of the last block ends there.
    unread = ("text_norm.", "layers.1.t2v_attn", "layers.1.text_norm2", "layers.1.text_norm3")
    unread = (*unread, "layers.1.text_ffn")
    assert [name for name in silent if not any(part in name for part in unread)] == []


# In a session


@pytest.fixture(scope="module")
def published():
    adapter = published_adapter()
    return Session(Backbone(tiny_model(), build_processor(), "tiny"), adapter)


def test_the_settings_are_the_published_ones(published):
    assert published.defaults.phase == "prefill"
    assert published.defaults.sources() == {3: 1, 4: 2}


def test_the_latent_reads_the_whole_prompt_and_one_strength_serves_all(published, image):
    trace = published.ask(image, "What colour is the star?", ["vif"], max_new_tokens=3)["vif"]
    batch = Batch.make(
        published.backbone, [published.backbone.encode(image, "What colour is the star?")]
    )
    with torch.no_grad():
        states = published.backbone.model(**batch.inputs, output_hidden_states=True).hidden_states
    mask = torch.zeros_like(batch.question).scatter(1, batch.columns, True)
    text = batch.inputs["attention_mask"].bool() & ~mask
    assert text.sum() > batch.question.sum()
    for mixture in trace.mixtures:
        out = published.adapter.infer(states[mixture.source + 1], mask, text)
        assert np.allclose(mixture.map, out.map[0].detach().numpy(), atol=1e-6)
        assert np.allclose(mixture.strength, 0.5)


def test_generated_rows_are_not_steered(published, image):
    traces = published.ask(image, "What?", ["vif"], alpha=1.0, max_new_tokens=3)
    mass = traces["vif"].mass[:, 3, :, 0]
    assert np.allclose(mass[0], 1, atol=1e-5)
    assert (mass[1:] < 0.999).all()
    steered = published.ask(image, "What?", ["vif"], alpha=1.0, max_new_tokens=3, phase="both")
    assert np.allclose(steered["vif"].mass[:, 3, :, 0], 1, atol=1e-5)


def test_samples_repeat_by_seed(published, image):
    first, again, other = (
        published.ask(image, "What?", ["vif"], samples=1, seed=seed, max_new_tokens=1)["vif"]
        for seed in (5, 5, 6)
    )
    assert np.array_equal(first.mixtures[0].map, again.mixtures[0].map)
    assert not np.array_equal(first.mixtures[0].map, other.mixtures[0].map)


def test_means_lie_on_the_image_where_the_published_grid_puts_them():
    adapter = published_adapter()
    mixture = MixtureParameters(
        torch.tensor([[[0.0, 0.0], [1.0, 0.5]]]), torch.tensor([[0.1, 0.2]]), torch.ones(1, 2) / 2
    )
    centres = (torch.stack(torch.meshgrid(*[torch.arange(12)] * 2, indexing="xy"), -1) + 0.5) / 12
    centres = centres.reshape(1, -1, 2)
    placed = adapter.place(mixture, centres)
    assert torch.allclose(placed.means, torch.tensor([[[0.5, 0.5], [11.5, 6.0]]]) / 12)
    on_grid = render(mixture, torch.linspace(0, 1, 12)[None].expand(2, -1).T[None], "softmax")
    assert on_grid.shape == (1, 12)
    grid = adapter._grid(centres)
    assert torch.allclose(render(mixture, grid, "softmax"), render(placed, centres, "softmax"))
    assert published_adapter(grid="centres").place(mixture, centres) is mixture


def test_the_end_point_grid_needs_a_square():
    states, image, question, _ = sequence(HIDDEN, (4,))
    image[:, 18] = False
    with pytest.raises(ValueError, match="square"):
        published_adapter().infer(states, image, question)
    centres = torch.rand(15, 2)
    with pytest.raises(ValueError, match="square"):
        published_adapter().infer(states, image, question, centres=centres)
    out = published_adapter(grid="centres").infer(states, image, question, centres=centres)
    assert out.map.shape == (1, 15)
