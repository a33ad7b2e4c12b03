"""The published form: its checkpoints load, and give what its own code gave."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from tests.tiny import HIDDEN, NUM_HEADS, NUM_LAYERS, tiny_adapter, tiny_model
from training.processor import build_processor
from vif import forms
from vif.__main__ import main
from vif.adapter import VIFAdapter
from vif.adapter_files import build
from vif.backbone import Backbone
from vif.config import VIFConfig
from vif.convert import convert_checkpoint, published_config
from vif.errors import InputError
from vif.lens import Batch
from vif.mixture import MixtureParameters, render
from vif.session import Session

FIXTURE = Path(__file__).parent / "fixtures" / "reference_vif_tiny.safetensors"
PREFIX = "model.attention_bias_generator."
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def reference():
    """Inputs, outputs, weights and configuration of the published generator."""
    with safe_open(FIXTURE, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    weights = {n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights")}
    return tensors, weights, config


def write(folder, weights, config, kind="model.safetensors", prefix=PREFIX):
    """A checkpoint folder as the published project leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    weights = {name.replace(PREFIX, prefix): tensor for name, tensor in weights.items()}
    weights["model.layers.0.self_attn.q_proj.weight"] = torch.zeros(4, 4)
    save = torch.save if kind.endswith(".bin") else save_file
    if "index" not in kind:
        save(weights, folder / kind)
        return folder
    ending = kind.partition(".")[2].removesuffix(".index")
    save = torch.save if ending == "bin" else save_file
    names, shards = sorted(weights), {}
    for i, part in enumerate((names[:40], names[40:])):
        shards |= dict.fromkeys(part, f"part-{i}.{ending}")
        save({name: weights[name] for name in part}, folder / f"part-{i}.{ending}")
    save({"lm_head.weight": torch.zeros(4, 4)}, folder / f"part-2.{ending}")
    shards["lm_head.weight"] = f"part-2.{ending}"
    (folder / f"model.{ending}.index.json").write_text(json.dumps({"weight_map": shards}))
    return folder


def check_outputs(adapter, tensors):
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


@pytest.mark.parametrize(
    "kind",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "model.index.safetensors",
        "model.index.bin",
        "non_lora_trainables.bin",
    ],
)
def test_a_published_checkpoint_gives_the_published_outputs(reference, tmp_path, capsys, kind):
    tensors, weights, config = reference
    prefix = f"base_model.model.{PREFIX}" if "lora" in kind else PREFIX
    kind = kind.replace(".index.safetensors", ".safetensors.index")
    kind = kind.replace(".index.bin", ".bin.index")
    folder = write(tmp_path / "published", weights, config, kind, prefix)
    assert main(["convert-checkpoint", str(folder), str(tmp_path / "out")]) == 0
    assert "width 32" in capsys.readouterr().out
    adapter = VIFAdapter.from_pretrained(tmp_path / "out")
    check_outputs(adapter, tensors)


def test_a_bias_row_is_the_map_on_the_image_and_nothing_elsewhere(reference, tmp_path):
    """The fixture's row is one that is not steered: it holds nothing at all."""
    tensors, weights, config = reference
    adapter = convert_checkpoint(write(tmp_path / "in", weights, config), tmp_path / "out")
    image, question = tensors["in.vision_mask"], tensors["in.question_mask"]
    out = adapter.infer(tensors["in.hidden_states"], image, question)
    rows = torch.zeros(*image.shape, image.shape[1])
    rows[image[:, None].expand_as(rows)] = out.map[:, None].expand(-1, 591, -1).flatten()
    rows = rows * question[..., None]
    assert torch.equal(rows[:, -1], tensors["out.prior_bias_row"])
    assert torch.equal(rows[:, 0][image].view(2, -1), out.map)
    assert torch.allclose(rows.sum(-1), question.float(), atol=1e-5)


def test_parameters_keep_their_type(reference, tmp_path):
    _, weights, config = reference
    halves = {name: tensor.bfloat16() for name, tensor in weights.items()}
    convert_checkpoint(write(tmp_path / "in", halves, config), tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert {file.get_tensor(n).dtype for n in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    adapter = VIFAdapter.from_pretrained(tmp_path / "out")
    assert {p.dtype for p in adapter.parameters()} == {torch.float32}


# Other shapes, against a reference that shares no code with the package


def random_weights(hidden, width, depth, ffn, count, seed=0):
    """Weights of a generator under their published names."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"latent_queries": (1, count, width)}

    def linear(name, out, inner):
        shapes.update({f"{name}.weight": (out, inner), f"{name}.bias": (out,)})

    def attention(name):
        shapes.update({f"{name}.in_proj_weight": (3 * width, width)})
        shapes.update({f"{name}.in_proj_bias": (3 * width,)})
        linear(f"{name}.out_proj", width, width)

    def norm(name):
        shapes.update({f"{name}.weight": (width,), f"{name}.bias": (width,)})

    for branch in ("prior", "posterior"):
        encoder = f"{branch}_encoder"
        linear(f"{encoder}.img_proj", width, hidden)
        linear(f"{encoder}.txt_proj", width, hidden)
        for i in range(depth):
            for part in ("vision_self_attn", "text_self_attn", "v2t_attn", "t2v_attn"):
                attention(f"{encoder}.layers.{i}.{part}")
            for stream in ("vision", "text"):
                for k in (1, 2, 3):
                    norm(f"{encoder}.layers.{i}.{stream}_norm{k}")
                linear(f"{encoder}.layers.{i}.{stream}_ffn.0", ffn, width)
                linear(f"{encoder}.layers.{i}.{stream}_ffn.2", width, ffn)
        norm(f"{encoder}.vision_norm")
        norm(f"{encoder}.text_norm")
        linear(f"{branch}_mean_head", width, width)
        linear(f"{branch}_logvar_head", width, width)
    attention("compress_attn")
    for head, out in (("pos", 2), ("sigma", 1), ("weight", 1)):
        linear(f"renderer.{head}_head", out, width)
    return {
        PREFIX + name: torch.randn(shape, generator=generator) * shape[-1] ** -0.5
        for name, shape in shapes.items()
    }


class Reference:
    """The published generator for one sequence, step by step; `w` as in a checkpoint."""

    def __init__(self, weights, heads, min_sigma):
        self.w = {name.removeprefix(PREFIX): tensor for name, tensor in weights.items()}
        self.heads, self.min_sigma = heads, min_sigma

    def linear(self, name, x):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def attention(self, name, x, memory):
        weights = self.w[f"{name}.in_proj_weight"].chunk(3)
        biases = self.w[f"{name}.in_proj_bias"].chunk(3)
        q, k, v = (
            (y @ weight.T + bias).unflatten(-1, (self.heads, -1)).transpose(0, 1)
            for y, weight, bias in zip((x, memory, memory), weights, biases, strict=True)
        )
        p = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        return self.linear(f"{name}.out_proj", (p @ v).transpose(0, 1).flatten(1))

    def ffn(self, name, x):
        return self.linear(f"{name}.2", F.gelu(self.linear(f"{name}.0", x)))

    def branch(self, name, image, text):
        encoder, depth = f"{name}_encoder", 0
        v = self.linear(f"{encoder}.img_proj", image)
        t = self.linear(f"{encoder}.txt_proj", text)
        while f"{encoder}.layers.{depth}.text_norm1.weight" in self.w:
            block = f"{encoder}.layers.{depth}."
            h = self.norm(f"{block}vision_norm1", v)
            v = v + self.attention(f"{block}vision_self_attn", h, h)
            h = self.norm(f"{block}text_norm1", t)
            t = t + self.attention(f"{block}text_self_attn", h, h)
            v = v + self.attention(f"{block}v2t_attn", self.norm(f"{block}vision_norm2", v), t)
            t = t + self.attention(f"{block}t2v_attn", self.norm(f"{block}text_norm2", t), v)
            v = v + self.ffn(f"{block}vision_ffn", self.norm(f"{block}vision_norm3", v))
            t = t + self.ffn(f"{block}text_ffn", self.norm(f"{block}text_norm3", t))
            depth += 1
        v = self.norm(f"{encoder}.vision_norm", v)
        slots = self.attention("compress_attn", self.w["latent_queries"][0], v)
        mean = self.linear(f"{name}_mean_head", slots)
        return mean, self.linear(f"{name}_logvar_head", slots).clamp(-5, 5)

    def infer(self, hidden, image, question, answer=None, noise=0.0):
        mean, log_variance = prior = self.branch("prior", hidden[image], hidden[question])
        kl = 0.0
        if answer is not None:
            text = torch.cat([hidden[question], hidden[answer]])
            mean, log_variance = self.branch("posterior", hidden[image], text)
            q, p = (
                torch.distributions.Normal(m, (v / 2).exp())
                for m, v in ((mean, log_variance), prior)
            )
            kl = torch.distributions.kl_divergence(q, p).mean()
        z = mean + (log_variance / 2).exp() * noise
        means = 1 / (1 + (-self.linear("renderer.pos_head", z)).exp())
        sigmas = F.softplus(self.linear("renderer.sigma_head", z))[:, 0] + self.min_sigma
        weights = self.linear("renderer.weight_head", z)[:, 0].softmax(0)
        side = round(int(image.sum()) ** 0.5)
        y, x = torch.meshgrid(*[torch.linspace(0, 1, side)] * 2, indexing="ij")
        grid = torch.stack([x, y], -1).reshape(-1, 2)
        heights = torch.zeros(len(grid))
        for m, s, w in zip(means, sigmas, weights, strict=True):
            heights += w * (-(grid - m).square().sum(-1) / (2 * s**2)).exp()
        heat = heights.softmax(0)
        entropy = -(heat * (heat + 1e-8).log()).sum()
        return {
            "z": z, "means": means, "sigmas": sigmas, "weights": weights, "map": heat, "kl": kl,
            "entropy": entropy, "volume": sigmas.square().mean(),
        }  # fmt: skip


def sequence(hidden, questions, seed=0):
    """States of prompts with 16 image tokens, ragged text around them and an answer."""
    generator = torch.Generator().manual_seed(seed)
    length = 4 + 16 + max(questions) + 3
    states = torch.randn(len(questions), length, hidden, generator=generator)
    image, question, answer = torch.zeros(3, len(questions), length, dtype=torch.bool)
    image[:, 3:19] = True
    for i, count in enumerate(questions):
        question[i, :2] = True
        question[i, 19 : 19 + count] = True
        answer[i, 19 + count : 20 + count + i] = True
    return states, image, question, answer


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


def published_adapter(grid="endpoint", seed=0):
    """The published form for `tiny_model`, with a map that is far from flat."""
    torch.manual_seed(seed)
    adapter = build(
        VIFConfig(
            HIDDEN,
            NUM_LAYERS,
            NUM_HEADS,
            width=16,
            num_components=3,
            slot_layers=2,
            latent_heads=2,
            ffn_dim=32,
            renderer="softmax",
            learning=(1, 2),
            injection=(3, 4),
            encoder="published",
            means="head",
            grid=grid,
            phase="prefill",
        )
    )
    for head in (adapter.renderer.pos_head, adapter.renderer.sigma_head):
        torch.nn.init.normal_(head.weight, std=1.0)
    return adapter.eval()


def test_the_length_of_other_questions_plays_no_part():
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


def test_only_what_nobody_reads_gets_no_gradient():
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


# Options and mistakes


@pytest.mark.parametrize(
    ("options", "learning", "injection", "stride"),
    [
        ({}, (10, 16), (24, 30), 2),
        (
            {"latent_learning_start": 11, "latent_learning_end": 17,
             "latent_apply_start": 25, "latent_apply_end": 31},
            (11, 17), (25, 31), 2,
        ),
        ({"latent_l_start": 4, "latent_l_end": 6, "latent_layer_stride": 1}, (4, 6), (29, 31), 1),
        (
            {"latent_learning_start": 8, "latent_learning_end": 2, "latent_layer_stride": 3,
             "latent_start_layer": 20, "latent_end_layer": 99},
            (2, 8), (24, 30), 3,
        ),
        ({"num_hidden_layers": 8, "latent_learning_start": None}, (2, 4), (4, 6), 2),
    ],
)  # fmt: skip
def test_layers_are_resolved_as_the_published_code_does_it(
    reference, options, learning, injection, stride
):
    _, weights, _ = reference
    state = {f"latent.{n.removeprefix(PREFIX)}": t for n, t in weights.items()}
    config = published_config(options, state)
    assert config.stride == stride
    walk = [range(first, last + 1, stride) for first, last in (config.learning, config.injection)]
    assert (walk[0][0], walk[0][-1]) == learning
    assert (walk[1][0], walk[1][-1]) == injection
    assert len(walk[0]) == len(walk[1])
    assert config.num_layers == options.get("num_hidden_layers", 32)


def test_mistakes_are_one_sentence(reference, tmp_path, capsys):
    _, weights, config = reference

    def fails(folder, out="out"):
        assert main(["convert-checkpoint", str(folder), str(tmp_path / out)]) == 2
        shown = capsys.readouterr().err
        assert shown.startswith("error: ")
        assert "Traceback" not in shown
        assert len(shown.splitlines()) == 1
        return shown

    assert "config.json" in fails(tmp_path / "nowhere")
    assert "no weights" in fails(write(tmp_path / "plain", {}, config))
    good = write(tmp_path / "good", weights, config)
    assert "another folder" in fails(good, "good")
    assert "heads" in fails(write(tmp_path / "heads", weights, config | {"latent_num_heads": 5}))
    short = dict(list(weights.items())[:-1])
    assert "does not fit" in fails(write(tmp_path / "short", short, config))
    broken = write(tmp_path / "broken", weights, config)
    (broken / "model.safetensors").write_bytes(b"not weights")
    assert "cannot be read" in fails(broken)
    pickled = write(tmp_path / "pickled", {}, config, "pytorch_model.bin")
    torch.save({"path": Path}, pickled / "pytorch_model.bin")
    assert "more than tensors" in fails(pickled)
    lost = write(tmp_path / "lost", weights, config, "model.safetensors.index")
    (lost / "part-1.safetensors").unlink()
    assert "missing" in fails(lost)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "other"},
        {"encoder": "published"},
        {"means": "head"},
        {"grid": "endpoint"},
        {"renderer": "exact"},
        {"phase": "decode"},
        {"width": 30, "latent_heads": 4},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        VIFConfig(HIDDEN, NUM_LAYERS, NUM_HEADS, **changes)


def test_an_adapter_saved_before_there_were_forms_still_loads(tmp_path):
    tiny_adapter().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    new = ("encoder", "means", "grid", "phase", "entropy_weight", "volume_weight")
    path.write_text(json.dumps({k: v for k, v in config.items() if k not in new}))
    loaded = VIFAdapter.from_pretrained(tmp_path)
    assert type(loaded) is VIFAdapter
    assert loaded.config.encoder == "slots"


def test_a_missing_adapter_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="convert-checkpoint"):
        VIFAdapter.from_pretrained(tmp_path)


# The table


def test_compare_forms_prints_what_is_known_of_both(capsys):
    assert main(["compare-forms"]) == 0
    assert "published" in capsys.readouterr().out
    effects, costs = (dict(table) for table in forms.compare())
    for name, (published, here) in effects.items():
        if "entropy of the map" in name:
            # A softmax of heights in [0, 1] cannot be far from uniform.
            assert 100 * 6.2328 / np.log(576) <= published <= 100
            assert here < published
        if "largest" in name:
            assert published <= np.e < here
        if "image after" in name and "share" in name:
            before = effects[name.replace("after", "before")][0]
            assert np.allclose([published, here], 0.5 * before + 50, atol=1e-3)
    parameters = costs["parameters, millions"]
    assert 3400 < parameters[0] < 3450
    assert max(parameters[1:]) < 0.01 * parameters[0]


def test_flops_are_those_of_the_matrices():
    with torch.device("meta"):
        adapter = published_adapter().requires_grad_(False)
    first, further = forms.question_flops(adapter)
    assert first == further
    n, t, d, f, k = forms.SIDE**2, forms.TEXT_TOKENS, 16, 32, 3
    projections = 2 * HIDDEN * d * (n + t)
    squares = 2 * d * d * (4 * n + 4 * t + 2 * (n + t) + 2 * (t + n))
    products = 4 * d * (n * n + t * t + n * t + t * n)
    block = squares + products + 4 * d * f * (n + t)
    compress = 2 * d * d * (2 * k + 2 * n) + 4 * d * k * n
    heads = 2 * d * d * 2 * k + 2 * d * 4 * k
    assert first == projections + 2 * block + compress + heads
