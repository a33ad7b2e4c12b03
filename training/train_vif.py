"""Trains a VIF adapter on scenes, the backbone frozen. Resumable: run the same command again.

python -m training.train_vif --output assets/demo-vif --work runs/vif
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

# Spinning OpenMP threads would take the cores from the data worker.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch.nn import functional as F
from transformers import HfArgumentParser, LlavaForConditionalGeneration
from typing_extensions import override

from training.packing import (
    FAMILY_NAMES,
    LANES,
    SIDE,
    LaneMix,
    LaneTap,
    PackedScenes,
    PackingConfig,
)
from training.pretrain import answer_logits, batches
from training.run import Optimisers, Run
from vif import attention
from vif.adapter import Rendered, VIFAdapter, VIFConfig, entropy_loss, volume_loss
from vif.latent import kl_divergence
from vif.mixture import grid_centres
from vif.scenes import GROUP_OF
from vif.settings import Settings

# Relations are what the backbone gets wrong and a map can mend.
FAMILY_WEIGHTS = {
    "nearest": 2.0, "left": 1.6, "right": 1.6, "above": 1.6, "below": 1.6, "odd": 2.0,
    "neighbour-cell": 1.5, "tiny": 1.5, "glyph": 1.2,
}  # fmt: skip


def _flag(default: object, text: str) -> object:
    return field(default=default, metadata={"help": text})


@dataclass
class VIFArguments:
    """The command line; names that start with latent_ are the published ones."""

    model_name_or_path: str = _flag("assets/demo-vlm", "Backbone, kept frozen.")
    output: str = _flag("assets/demo-vif", "Where the adapter goes.")
    work: str = _flag("runs/vif", "Checkpoints and log.")
    use_latent_importance: bool = _flag(True, "Off: nothing is injected, nothing is learned.")
    latent_learning_start: int = _flag(3, "First layer the latent is read from.")
    latent_learning_end: int = _flag(4, "Last layer the latent is read from.")
    latent_apply_start: int = _flag(5, "First layer the map is injected into.")
    latent_apply_end: int = _flag(7, "Last layer the map is injected into.")
    latent_layer_stride: int = _flag(1, "Every how many layers in both ranges.")
    latent_kl_weight: float = _flag(0.1, "Weight of KL(posterior || prior).")
    latent_sparsity_weight: float = _flag(0.02, "Weight of entropy and volume together.")
    latent_entropy_weight: float = _flag(1.0, "Weight of the map's entropy within sparsity.")
    latent_volume_weight: float = _flag(1.0, "Weight of mean squared sigma within sparsity.")
    latent_num_components: int = _flag(8, "Mixture components K.")
    latent_num_layers: int = _flag(4, "Blocks of the latent slots.")
    latent_num_heads: int = _flag(4, "Attention heads of the adapter.")
    latent_hidden_size: int = _flag(128, "Width of the adapter.")
    latent_ffn_dim: int = _flag(256, "Inner width of its feed-forward parts.")
    latent_min_sigma: float = _flag(0.035, "Least standard deviation, in image widths.")
    latent_bias_alpha: float = _flag(0.5, "Strength at a gate of 1.")
    renderer: str = _flag("density", "density, or softmax as published.")
    prior_mix: float = _flag(0.5, "Share of steps whose answers use a prior sample.")
    box_weight: float = _flag(0.0, "Weight of the true-box loss (not part of the published one).")
    map_steps: int = _flag(0, "First steps that train the map alone (needs box_weight).")
    gate_steps: int = _flag(0, "Steps before the gate is freed.")
    steps: int = _flag(1500, "Steps in all.")
    batch_size: int = _flag(24, "Images per step.")
    questions: int = _flag(10, "Questions per image.")
    text_share: float = _flag(0.5, "Share of questions with unrelated text before them.")
    text_max: int = _flag(160, "Longest such text in tokens.")
    learning_rate: float = _flag(3e-3, "Muon's, for matrices.")
    adam_learning_rate: float = _flag(1e-3, "AdamW's, for the rest.")
    gate_scale: float = _flag(0.5, "Factor on both for the gate.")
    seed: int = _flag(0, "Of initial weights and noise.")
    save_steps: int = _flag(300, "Steps between checkpoints, each with a validation.")
    validation_batches: int = _flag(6, "Validation batches looked at.")

    @property
    def settings(self) -> Settings:
        """Ranges and strength as at inference."""
        return Settings(
            learning=(self.latent_learning_start, self.latent_learning_end),
            injection=(self.latent_apply_start, self.latent_apply_end),
            stride=self.latent_layer_stride,
            alpha=self.latent_bias_alpha,
        )

    def packing(self, **changes: object) -> PackingConfig:
        """What the training scenes look like."""
        values = {
            "batch_size": self.batch_size,
            "questions": self.questions,
            "text_share": self.text_share,
            "text_max": self.text_max,
            "gap_share": 0.2,
            "weights": FAMILY_WEIGHTS,
            "first_seed": 100_000_000 + 10_000_000 * self.seed,
            "lane": max(64, self.text_max + 48),
        }
        return PackingConfig(**values | changes)


class Enough(Exception):
    """The states that were wanted are there; the layers above need not run."""


class Steering(LaneTap):
    """Reads the latent at one learning layer and steers all injection layers with it.

    One learning layer per step, drawn anew, costs half of two and leaves an adapter that works
    from any layer of its range, which is what the published shared generator is for.

    Attributes:
        out: What was rendered, (B * M, ...).
        kl: (B * M,), zeros for a prior step.
    """

    def __init__(
        self,
        adapter: VIFAdapter,
        batch: dict[str, torch.Tensor],
        layer: int,
        settings: Settings,
        posterior: bool,
        noise: torch.Tensor | float = 0.0,
        fixed_gate: bool = False,
        map_only: bool = False,
    ) -> None:
        super().__init__()
        self.adapter, self.batch, self.layer, self.settings = adapter, batch, layer, settings
        self.posterior, self.noise = posterior, noise
        self.fixed_gate, self.map_only = fixed_gate, map_only
        self.valid = batch["family"].flatten() >= 0
        self.out: Rendered | None = None
        self.kl = torch.zeros(len(self.valid))

    def layer_output(self, layer: int, states: torch.Tensor) -> None:
        """Infers at the learning layer."""
        if layer != self.layer:
            return
        batch, adapter = self.batch, self.adapter
        number = SIDE * SIDE
        memory = adapter.remember(states[:, :number], grid_centres(SIDE, SIDE))
        size, most, length = batch["read"].shape
        index = batch["read"].reshape(size, -1, 1).expand(-1, -1, states.shape[-1])
        text = states[:, number:].gather(1, index).reshape(size * most, length, -1)
        question = batch["is_question"].flatten(0, 1).clone()
        question[~self.valid, 0] = True
        latent = prior = adapter.latent(memory.tokens, text, question)
        if self.posterior:
            answer = batch["is_answer"].flatten(0, 1)
            latent = adapter.latent(memory.tokens, text, question, answer)
            self.kl = kl_divergence(latent, prior)
        self.out = adapter.render(memory, latent.sample(self.noise))
        if self.map_only:
            raise Enough
        self._prepare(self.out.map, self.out.gate)

    def _prepare(self, weights: torch.Tensor, gate: torch.Tensor) -> None:
        if self.fixed_gate:
            gate = torch.ones_like(gate)
        weights = weights.unflatten(0, self.batch["family"].shape)
        for layer in self.settings.injection_layers:
            strength = (self.settings.alpha * gate[:, layer]).clamp(0, 1)
            strength = strength.unflatten(0, self.batch["family"].shape)
            self.mixes[layer] = LaneMix(weights, strength, self.batch["block"])


class Truth(Steering):
    """The same strength on the true boxes; nothing where there is none."""

    @override
    def _prepare(self, weights: torch.Tensor, gate: torch.Tensor) -> None:
        truth = self.batch["target"].flatten(0, 1)
        known = truth.sum(-1) > 0
        gate = torch.ones_like(gate) if self.fixed_gate else gate
        fixed, self.fixed_gate = self.fixed_gate, False
        super()._prepare(truth, gate * known[:, None, None])
        self.fixed_gate = fixed


def box_loss(out: Rendered, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the map, and of the pointing behind it, against the true boxes.

    Args:
        out: Rendered latents of Q questions.
        target: (Q, N), rows sum to 1, zeros where nothing is known.

    Returns:
        Mean over questions with a truth.
    """
    known = target.sum(-1) > 0
    pointing = (out.weights[..., None] * out.pointing).sum(1)
    loss = sum(-(target * p.clamp_min(1e-9).log()).sum(-1) for p in (out.map, pointing))
    return loss[known].mean()


def forward(
    model: LlavaForConditionalGeneration, batch: dict[str, torch.Tensor], tap: LaneTap | None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Answer logits and labels, None where the tap needs no answers."""
    try:
        with torch.autocast("cpu", torch.bfloat16):
            logits, labels, _ = answer_logits(model, batch, tap)
    except Enough:
        return None
    return logits, labels


def losses(
    args: VIFArguments, tap: Steering, answers: tuple[torch.Tensor, torch.Tensor] | None
) -> dict[str, torch.Tensor]:
    """Every part of the loss; ``total`` is their weighted sum."""
    out, valid = tap.out, tap.valid
    parts = {
        "kl": tap.kl[valid].mean(),
        "entropy": entropy_loss(out.map)[valid].mean(),
        "volume": volume_loss(out.sigmas)[valid].mean(),
        "box": box_loss(out, tap.batch["target"].flatten(0, 1)),
    }
    if answers is not None:
        parts["lm"] = F.cross_entropy(answers[0].float(), answers[1])
    sparse = args.latent_entropy_weight * parts["entropy"]
    sparse = sparse + args.latent_volume_weight * parts["volume"]
    total = parts.get("lm", 0) + args.latent_kl_weight * parts["kl"]
    total = total + args.latent_sparsity_weight * sparse + args.box_weight * parts["box"]
    return parts | {"total": total}


@torch.no_grad()
def validate(
    args: VIFArguments, model: LlavaForConditionalGeneration, adapter: VIFAdapter, text: int
) -> dict[str, object]:
    """Teacher-forced accuracy of plain, VIF and the true box; pointing accuracy; mean gate.

    Args:
        args: The run.
        model: The backbone.
        adapter: The adapter.
        text: Tokens of unrelated text before every question.
    """
    packing = args.packing(
        split="validation",
        text_share=float(text > 0),
        text_min=max(1, text),
        text_max=max(1, text),
        gap_share=0.0,
        unknown_share=0.0,
        first_seed=0,
        weights={},
        lane=max(64, text + 48),
    )
    data = PackedScenes(packing, args.validation_batches)
    layer = args.settings.learning_layers[-1]
    hits = {name: defaultdict(list) for name in ("plain", "vif", "oracle", "pointing")}
    gates = []
    for i in range(args.validation_batches):
        batch = data[i]
        steering = Steering(adapter, batch, layer, args.settings, posterior=False)
        truth = Truth(adapter, batch, layer, args.settings, posterior=False)
        for name, tap in (("plain", None), ("vif", steering), ("oracle", truth)):
            right = correct(batch, *forward(model, batch, tap))
            collect(hits[name], batch["family"], right)
        target = batch["target"]
        peak = steering.out.map.argmax(-1).unflatten(0, target.shape[:2])
        hit = target.gather(2, peak[..., None]).squeeze(-1) > 0
        collect(hits["pointing"], batch["family"].masked_fill(target.sum(-1) == 0, -1), hit)
        gates.append(steering.out.gate[steering.valid][:, args.settings.injection_layers].mean())
    summary: dict[str, object] = {"text": text, "gate": round(float(torch.stack(gates).mean()), 3)}
    return summary | {name: averages(found) for name, found in hits.items()}


def correct(
    batch: dict[str, torch.Tensor], logits: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Whether every answer token is the most likely one, (B, M) bool.

    With all earlier tokens right, this is whether greedy decoding gives the answer.
    """
    right = torch.ones_like(batch["family"], dtype=torch.bool)
    row, column = torch.nonzero(batch["labels"][:, 1:] >= 0, as_tuple=True)
    wrong = logits.argmax(-1) != labels
    right[row[wrong], batch["block"][:, 1:][row, column][wrong] - 1] = False
    return right


def collect(found: dict[str, list[bool]], family: torch.Tensor, right: torch.Tensor) -> None:
    """Sorts outcomes (B, M) by family; -1 is left out."""
    for index, ok in zip(family.flatten().tolist(), right.flatten().tolist(), strict=True):
        if index >= 0:
            found[FAMILY_NAMES[index]].append(ok)


def averages(found: dict[str, list[bool]]) -> dict[str, float]:
    """Means in all, by group and by family."""
    groups = defaultdict(list)
    for family, outcomes in found.items():
        groups["all"] += outcomes
        groups[GROUP_OF[family]] += outcomes
    both = dict(sorted(groups.items())) | dict(sorted(found.items()))
    return {name: round(sum(v) / len(v), 3) for name, v in both.items()}


def train(args: VIFArguments) -> VIFAdapter:
    """Runs or resumes a training and saves the adapter."""
    torch.manual_seed(args.seed)
    model = LlavaForConditionalGeneration.from_pretrained(args.model_name_or_path)
    model.float().eval().requires_grad_(False)
    model.set_attn_implementation({"text_config": LANES})
    attention.watch(model)
    adapter = VIFAdapter(adapter_config(args, model))
    optimisers = Optimisers(
        adapter,
        args.steps,
        args.learning_rate,
        args.adam_learning_rate,
        scales={"gate_head": args.gate_scale},
    )
    folder = Path(args.work)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder, "adapter", adapter, optimisers)
    started, mean = time.monotonic(), defaultdict(lambda: math.nan)
    for batch in batches(args.packing(), run.step, args.steps):
        for name, value in step(args, model, adapter, optimisers, run.step, batch).items():
            mean[name] = value if math.isnan(mean[name]) else 0.95 * mean[name] + 0.05 * value
        run.step += 1
        if run.step % 25 == 0:
            shown = {name: round(value, 4) for name, value in mean.items()}
            run.log(seconds=round(time.monotonic() - started), **shown)
        if run.step % args.save_steps == 0 or run.step == args.steps:
            run.save()
            adapter.save_pretrained(args.output)
            for text in (0, 128):
                run.log(validation=validate(args, model, adapter, text))
    return adapter


def step(
    args: VIFArguments,
    model: LlavaForConditionalGeneration,
    adapter: VIFAdapter,
    optimisers: Optimisers,
    index: int,
    batch: dict[str, torch.Tensor],
) -> dict[str, float]:
    """One optimiser step; everything random depends on (seed, index) alone."""
    generator = torch.Generator().manual_seed(args.seed * 1_000_003 + index)
    draw = float(torch.rand((), generator=generator))
    layers = args.settings.learning_layers
    layer = layers[int(torch.randint(len(layers), (), generator=generator))]
    shape = (batch["family"].numel(), args.latent_num_components, args.latent_hidden_size)
    tap = Steering(
        adapter,
        batch,
        layer,
        args.settings,
        posterior=draw >= args.prior_mix,
        noise=torch.randn(shape, generator=generator),
        fixed_gate=index < args.gate_steps,
        map_only=index < args.map_steps,
    )
    parts = losses(args, tap, forward(model, batch, tap))
    parts["total"].backward()
    optimisers.step()
    target = batch["target"].flatten(0, 1)
    known = target.sum(-1) > 0
    hit = target.gather(1, tap.out.map.argmax(-1, keepdim=True)).squeeze(-1)[known] > 0
    gate = tap.out.gate[tap.valid][:, args.settings.injection_layers].mean()
    values = {name: float(value.detach()) for name, value in parts.items()}
    return values | {"pointing": float(hit.float().mean()), "gate": float(gate)}


def adapter_config(args: VIFArguments, model: LlavaForConditionalGeneration) -> VIFConfig:
    """The adapter that the arguments describe for a backbone."""
    text = model.config.get_text_config()
    settings = args.settings
    settings.check(text.num_hidden_layers)
    return VIFConfig(
        hidden_size=text.hidden_size,
        num_layers=text.num_hidden_layers,
        num_heads=text.num_attention_heads,
        width=args.latent_hidden_size,
        num_components=args.latent_num_components,
        slot_layers=args.latent_num_layers,
        latent_heads=args.latent_num_heads,
        ffn_dim=args.latent_ffn_dim,
        min_sigma=args.latent_min_sigma,
        renderer=args.renderer,
        learning=settings.learning,
        injection=settings.injection,
        stride=settings.stride,
        alpha=settings.alpha,
        backbone=Path(args.model_name_or_path).name,
    )


def main() -> None:
    """Command line."""
    train(HfArgumentParser(VIFArguments).parse_args_into_dataclasses()[0])


if __name__ == "__main__":
    main()
