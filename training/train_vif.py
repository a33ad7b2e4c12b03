"""Trains a VIF adapter on scenes, the backbone frozen. Resumable: run the same command again.

python -m training.train_vif --output assets/demo-vif --work runs/vif
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

# Spinning OpenMP threads would take the cores from the data worker.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch.nn import functional as F
from transformers import HfArgumentParser, LlavaForConditionalGeneration

from training.arguments import VIFArguments
from training.lanes import LANES
from training.packing import PackedScenes
from training.pretrain import batches
from training.run import Optimisers, Run
from training.scores import averages, collect, correct
from training.steering import Steering, Truth, box_loss, forward
from vif import attention
from vif.adapter import VIFAdapter, VIFConfig, entropy_loss, volume_loss
from vif.errors import InputError


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
        text_from=0,
        gap_share=0.0,
        unknown_share=0.0,
        first_seed=0,
        weights={},
        lane=max(64, text + 48),
    )
    data = PackedScenes(packing, args.validation_batches)
    end = args.settings.learning_layers[-1]
    last = replace(args.settings, learning=(end, end))
    hits = {name: defaultdict(list) for name in ("plain", "vif", "oracle", "pointing")}
    gates = []
    for i in range(args.validation_batches):
        batch = data[i]
        steering = Steering(adapter, batch, last, posterior=False)
        truth = Truth(adapter, batch, last, posterior=False)
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


def train(args: VIFArguments) -> VIFAdapter:
    """Runs or resumes a training and saves the adapter.

    Raises:
        InputError: If VIF is switched off: the backbone is frozen, nothing would be left to learn.
    """
    if not args.use_latent_importance:
        raise InputError(
            "use_latent_importance is False, but the adapter is all that is trained here: leave it "
            "on, or ask with --methods plain."
        )
    torch.manual_seed(args.seed)
    model = LlavaForConditionalGeneration.from_pretrained(args.model_name_or_path)
    model.float().eval().requires_grad_(False)
    model.set_attn_implementation({"text_config": LANES})
    attention.watch(model)
    adapter = VIFAdapter(adapter_config(args, model))
    if args.weights:
        adapter.load_state_dict(torch.load(args.weights, weights_only=True)["model"], strict=False)
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
            if run.is_first:
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
    settings = args.draw_settings(generator, model.config.get_text_config().num_hidden_layers)
    shape = (batch["family"].numel(), args.latent_num_components, args.latent_hidden_size)
    tap = Steering(
        adapter,
        batch,
        settings,
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
    return values | {"pointing": float(hit.float().mean()), "gate": float(gate.detach())}


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
    try:
        train(HfArgumentParser(VIFArguments).parse_args_into_dataclasses()[0])
    except InputError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
