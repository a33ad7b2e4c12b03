"""The published generator for tests: its fixture, its checkpoints, and a reference.

`Reference` shares no code with the package.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from tests.support.tiny import HIDDEN, NUM_HEADS, NUM_LAYERS
from vif.adapter import build
from vif.adapter.config import VIFConfig

FIXTURE = Path(__file__).parents[1] / "fixtures" / "reference_vif_tiny.safetensors"
PREFIX = "model.attention_bias_generator."


def read_fixture():
    """Inputs and outputs, weights, and configuration of the published generator."""
    with safe_open(FIXTURE, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    weights = {n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights")}
    return tensors, weights, config


def write(folder, weights, config, kind="model.safetensors", prefix=PREFIX):
    """A checkpoint folder as the published project writes it."""
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
