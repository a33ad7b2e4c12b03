"""What methods read from a model: sinks, salient patches, heads without the image, layers."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vif.check.models import tiny_backbone
from vif.methods import Request
from vif.methods.edits.sinks import activation_sinks, column_sinks, redistribute
from vif.methods.edits.tap import first_tokens, nearest_layer, published_layers
from vif.methods.maps.paint import salient_tokens
from vif.methods.maps.tower import cls_attention, token_scores
from vif.methods.papers.act import ACTTap
from vif.methods.papers.vhr import outputs_without_image
from vif.model.batch import Batch
from vif.settings import Settings

QUESTION, OTHER = "what colour is the star ?", "how many are there in the picture ?"
IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 100, 3), dtype=np.uint8))


def batch_of(backbone):
    return Batch.make(backbone, [backbone.encode(IMAGE, text) for text in (QUESTION, OTHER)])


# Layers


def deep(num_layers, attention=None):
    return SimpleNamespace(
        num_layers=num_layers, attention_layers=tuple(attention or range(num_layers))
    )


def test_published_layers_are_themselves_at_their_own_depth():
    for first, last in ((2, 31), (9, 14), (18, 31), (0, 31)):
        assert published_layers(first, last, deep(32)) == list(range(first, last + 1))


def test_published_layers_keep_their_place_at_another_depth():
    assert published_layers(9, 14, deep(64)) == list(range(18, 30))
    assert published_layers(9, 14, deep(8)) == [2, 3]
    spared = published_layers(2, 31, deep(8))
    assert spared == list(range(1, 8)), "what spares the first layer spares it here"
    assert published_layers(0, 31, deep(8)) == list(range(8))
    for depth in range(1, 9):
        for first, last in ((2, 31), (9, 14), (14, 14), (18, 31)):
            found = published_layers(first, last, deep(depth))
            assert 0 <= found[0] <= found[-1] < depth


def test_published_layers_without_attention_are_left_out():
    backbone = deep(32, range(3, 32, 4))
    assert published_layers(9, 14, backbone) == [11]
    assert published_layers(12, 14, backbone) == [11], "the nearest that has attention"
    assert [nearest_layer(n, backbone) for n in (0, 5, 6, 40)] == [3, 7, 7, 31]


# Sinks


def states(width=4096, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 12, width, generator=generator)


def test_massive_activations_of_the_first_token_tell_the_sinks():
    x, first = states(), torch.tensor([0, 4])
    x[0, [0, 7], 1415] = 3000
    x[0, 5, 99] = 3000
    x[1, [1, 4, 9], 2533] = -3000
    sinks, dimensions = activation_sinks(x, first)
    assert sinks[0].nonzero().flatten().tolist() == [0, 7], "5 is massive where the first is not"
    assert sinks[1].nonzero().flatten().tolist() == [4, 9], "1 is padding"
    assert dimensions.nonzero().tolist() == [[0, 1415], [1, 2533]]


def test_the_threshold_is_the_published_one_at_the_published_width():
    x = states()
    rest = float(x[0, 0].square().sum())
    for factor, is_sink in ((0.99, False), (1.01, True)):
        # |x_d| / rms = tau when x_d^2 = tau^2 / (d - tau^2) * the energy of all others.
        x[0, 0, 3] = 0
        others = rest - float(states()[0, 0, 3] ** 2)
        x[0, 0, 3] = (factor * 20) / (4096 - (factor * 20) ** 2) ** 0.5 * others**0.5
        assert bool(activation_sinks(x, torch.tensor([0, 0]))[0][0, 0]) == is_sink


@pytest.mark.parametrize("width", [32, 128, 512, 4096])
def test_random_states_have_no_sinks(width):
    sinks, dimensions = activation_sinks(states(width), torch.tensor([0, 0]))
    assert not sinks.any()
    assert not dimensions.any()


def test_columns_that_draw_more_than_their_even_share_are_sinks():
    weights = torch.full((1, 2, 3, 10), 0.05)
    weights[0, 0, :, 4] = 0.55
    weights[0, 1, 2, 4] = 0.9
    seen = torch.ones(1, 1, 3, 10, dtype=torch.bool)
    columns = torch.zeros(1, 1, 10)
    columns[..., 2:6] = 1
    sinks = column_sinks(weights, seen, columns)
    assert sinks.nonzero().tolist() == [[0, 0, 4]], "in the other head only one row looks there"
    seen[:, :, :2] = False
    assert column_sinks(weights, seen, columns)[0, :, 4].all(), "only rows that count do"
    columns[..., 4] = 0
    assert not column_sinks(weights, seen, columns).any()


def test_removed_attention_is_redistributed_and_a_row_without_targets_is_unchanged():
    weights = torch.tensor([0.4, 0.1, 0.3, 0.2]).view(1, 1, 1, 4)
    sinks, targets = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 1.0, 1.0, 0])
    moved = redistribute(weights, sinks, targets, 0.5)[0, 0, 0]
    assert torch.allclose(moved, torch.tensor([0.2, 0.15, 0.45, 0.2]))
    assert torch.equal(redistribute(weights, sinks, torch.zeros(4), 0.5), weights)
    assert torch.allclose(redistribute(weights, sinks, targets, 1), weights)


def test_first_tokens_come_after_the_padding():
    batch = batch_of(tiny_backbone("llava"))
    pads = [batch.inputs["input_ids"].shape[1] - prompt.length for prompt in batch.prompts]
    assert pads[0] > 0
    assert first_tokens(batch).tolist() == pads


def test_act_takes_an_offline_list_of_heads():
    backbone = tiny_backbone("llava")
    request = Request(batch_of(backbone), Settings(), backbone, options={})
    edits = ACTTap(request, {2: [0, 3], 4: []}).edits
    assert [edits[layer].chosen.flatten().tolist() for layer in (2, 4)] == [[1, 0, 0, 1], [0] * 4]
    assert list(edits) == [2, 4]


# The vision tower


@torch.no_grad()
def test_cls_attention_is_the_towers_own():
    tower = tiny_backbone("llava").model.base_model.vision_tower
    pixels = torch.randn(3, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    found = cls_attention(tower, pixels, (0, 1))
    tower.set_attn_implementation("eager")
    attentions = tower(pixels, output_attentions=True).attentions
    for i in range(2):
        assert torch.allclose(found[..., i], attentions[i].sum(1)[:, 0, 1:], atol=1e-5)


def test_local_tokens_are_the_top_share_less_the_summary_tokens():
    scores = torch.full((40, 2), 0.1) + torch.arange(40)[:, None] / 1e4
    scores[[3, 8], 1] = 2.0
    scores[[3, 5, 6], 0] = 1.0
    local, summary = salient_tokens(scores, 0.1)
    assert summary.nonzero().flatten().tolist() == [3, 8]
    assert local.nonzero().flatten().tolist() == [5, 6, 39], "the top 4 less what is summary"


def test_tiles_are_scored_where_their_tokens_are():
    """The whole picture first, then one row of three tiles as one map with row breaks."""
    backbone = tiny_backbone("llava_next")
    prompt = backbone.encode(IMAGE.resize((168, 56)), QUESTION)
    vision, tower = backbone.model.config.vision_config, backbone.model.base_model.vision_tower
    scores, is_patch = token_scores(
        backbone, prompt, lambda tower, pixels: cls_attention(tower, pixels, (0, 1))
    )
    side = vision.image_size // vision.patch_size
    whole, *tiles = cls_attention(tower, prompt.inputs["pixel_values"][0], (0, 0))[..., 0]
    assert len(tiles) == 3
    assert torch.allclose(scores[: side**2, 0], whole, atol=1e-6)
    of_map = scores[side**2 :].view(side, 3 * side + 1, 2)
    expected = torch.cat([tile.view(side, side) for tile in tiles], 1)
    assert torch.allclose(of_map[:, :-1, 0], expected, atol=1e-6)
    assert (of_map[:, -1] == 0).all(), "row breaks"
    assert np.array_equal(is_patch, ~np.isnan(prompt.layout.cells[:, 0]))


# Heads without the image


def _keep(seen, _, args):
    seen.append(args[0][0, -1])


@pytest.mark.parametrize("family", ["llava", "llava_next", "qwen2_5_vl"])
@torch.no_grad()
def test_outputs_without_the_image_are_those_of_the_text_alone(family):
    """The untouched model reads ids without image tokens; what enters W_O is what heads put out."""
    backbone = tiny_backbone(family)
    batch = batch_of(backbone)
    request = Request(batch, Settings(), backbone)
    found = outputs_without_image(request)
    backbone.uninstall()
    for i, prompt in enumerate(batch.prompts):
        ids = prompt.inputs["input_ids"][0]
        ids = ids[ids != backbone.image_token_id][None]
        seen, handles = [], []
        for block in backbone.model.get_decoder().layers:
            keep = partial(_keep, seen)
            handles.append(block.self_attn.o_proj.register_forward_pre_hook(keep))
        backbone.model(input_ids=ids)
        for handle in handles:
            handle.remove()
        for layer, out in found.items():
            assert torch.allclose(out[i].flatten(), seen[layer], atol=1e-5)
    assert sorted(found) == list(range(backbone.num_layers))
