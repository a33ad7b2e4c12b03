"""Trains the bundled model from scratch: the tower on dense labels, then all of it on questions.

Resumable: run the same command again.

    python -m training.pretrain --output assets/demo-vlm --work runs/pretrain
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Spinning OpenMP threads would take the cores from the data worker.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import LlavaForConditionalGeneration

from training.pretrain.dense import DenseHead
from training.pretrain.model import build_model
from training.pretrain.packing import PackedScenes, PackingConfig
from training.pretrain.processor import NUM_IMAGE_TOKENS, build_processor
from training.pretrain.scores import averages, collect, is_correct
from training.run import Optimisers, Run, join_processes


@dataclass(frozen=True)
class PretrainConfig:
    """All settings of a run; the same ones give the same model.

    Attributes:
        steps: Steps on questions.
        tower_steps: Steps on dense labels before that.
        batch_size: Images per step.
        questions: Questions per image.
        learning_rate: Muon's, for matrices.
        adam_learning_rate: AdamW's, for embeddings, norms and biases.
        tower_scale: Factor on both for the vision tower while training on questions.
        dense_weight: Weight of the dense loss while training on questions.
        curriculum: Share of the steps on questions in which scenes grow.
        validation_batches: How many validation batches are looked at.
        seed: Of the initial weights; data depend on the step alone.
    """

    steps: int = 3000
    tower_steps: int = 700
    batch_size: int = 16
    questions: int = 14
    learning_rate: float = 4e-3
    adam_learning_rate: float = 1.5e-3
    tower_scale: float = 0.4
    dense_weight: float = 0.3
    curriculum: float = 0.45
    validation_batches: int = 8
    seed: int = 0


# Hard families are asked more often.
FAMILY_WEIGHTS = {
    "existence": 0.7, "counting": 0.7, "cell": 1.4, "corner": 0.7, "tiny": 1.2, "glyph": 2.2,
    "nearest": 1.3, "left": 0.8, "right": 0.8, "above": 0.8, "below": 0.8, "odd": 2.0,
}  # fmt: skip


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """(B, S, S, 3) uint8 to what the image processor returns: (B, 3, S, S) in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def answer_logits(
    model: LlavaForConditionalGeneration,
    batch: dict[str, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of every answer token and the tokens themselves.

    Returns:
        logits (A, V) and labels (A,), over all answers of the batch in order; and what the tower
        made of the image, (B, N, d).
    """
    # LLaVA reads the states before the tower's last norm, the dense head those after it.
    tower = model.model.vision_tower(normalise(batch["pixels"]), output_hidden_states=True)
    image = model.model.multi_modal_projector(tower.hidden_states[-1])
    text = model.get_input_embeddings()(batch["ids"])
    embeds = torch.cat([image, text.to(image.dtype)], 1)
    size = len(image)
    positions = torch.arange(NUM_IMAGE_TOKENS).expand(size, -1)
    positions = torch.cat([positions, batch["positions"]], 1)
    states = model.model.language_model(
        inputs_embeds=embeds,
        attention_mask=batch["mask"],
        position_ids=positions,
        use_cache=False,
    ).last_hidden_state[:, NUM_IMAGE_TOKENS:]
    # The row before an answer token predicts it; a block never starts with an answer.
    labels = batch["labels"][:, 1:]
    wanted = labels >= 0
    return model.lm_head(states[:, :-1][wanted]), labels[wanted], tower.last_hidden_state


def batches(config: PackingConfig, first: int, last: int) -> DataLoader:
    """Batches `first` to `last` of the stream, drawn in a worker, shared out over processes."""
    rank, count = join_processes()
    share = replace(config, batch_size=config.batch_size // count)
    data = torch.utils.data.Subset(PackedScenes(share, last, rank, count), range(first, last))
    return DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=6)


def train_tower(
    model: LlavaForConditionalGeneration, head: DenseHead, config: PretrainConfig, folder: Path
) -> None:
    """Trains the tower to predict the object at every token."""
    tower = model.model.vision_tower
    trained = nn.ModuleDict({"vision_tower": tower, "head": head})
    optimisers = Optimisers(
        trained,
        config.tower_steps,
        config.learning_rate,
        config.adam_learning_rate,
        scales={"vision_tower": 0.7},
    )
    run = Run(folder, "tower", trained, optimisers)
    packing = PackingConfig(batch_size=32, questions=1, first_seed=50_000_000)
    started = time.monotonic()
    for batch in batches(packing, run.step, config.tower_steps):
        with torch.autocast("cpu", torch.bfloat16):
            states = tower(normalise(batch["pixels"])).last_hidden_state
        loss = head.loss(states, batch)
        loss.backward()
        optimisers.step()
        run.step += 1
        if run.step % 50 == 0 or run.step == config.tower_steps:
            accuracy = head.accuracy(states.float(), batch)
            seconds = round(time.monotonic() - started)
            run.log(loss=round(loss.item(), 4), seconds=seconds, **accuracy)
        if run.step % 300 == 0 or run.step == config.tower_steps:
            run.save()


@torch.no_grad()
def validate(
    model: LlavaForConditionalGeneration, packing: PackingConfig, num_batches: int
) -> dict[str, float]:
    """Share of answers that are right in every token, by group and family."""
    found = defaultdict(list)
    model.eval()
    data = PackedScenes(packing, num_batches)
    for i in range(num_batches):
        batch = data[i]
        with torch.autocast("cpu", torch.bfloat16):
            logits, labels, _ = answer_logits(model, batch)
        collect(found, batch["family"], is_correct(batch, logits, labels))
    model.train()
    return averages(found)


def train_questions(
    model: LlavaForConditionalGeneration, head: DenseHead, config: PretrainConfig, folder: Path
) -> None:
    """Teaches the whole model to answer, the tower going on with its dense labels."""
    parts = nn.ModuleDict({"vlm": model, "head": head})
    # The patch embedding is final after the dense stage, and its gradient is slow on a CPU.
    model.model.vision_tower.embeddings.patch_embedding.requires_grad_(False)
    optimisers = Optimisers(
        parts,
        config.steps,
        config.learning_rate,
        config.adam_learning_rate,
        scales={"vision_tower": config.tower_scale},
    )
    run = Run(folder, "questions", parts, optimisers)
    packing = PackingConfig(
        batch_size=config.batch_size,
        questions=config.questions,
        weights=FAMILY_WEIGHTS,
        text_share=0.25,
        gap_share=0.3,
        curriculum_steps=int(config.curriculum * config.steps),
    )
    started, mean_loss = time.monotonic(), math.nan
    for batch in batches(packing, run.step, config.steps):
        with torch.autocast("cpu", torch.bfloat16):
            logits, labels, tower = answer_logits(model, batch)
        loss = F.cross_entropy(logits.float(), labels)
        (loss + config.dense_weight * head.loss(tower, batch)).backward()
        optimisers.step()
        run.step += 1
        value = loss.item()
        mean_loss = value if math.isnan(mean_loss) else 0.97 * mean_loss + 0.03 * value
        if run.step % 25 == 0:
            accuracy = head.accuracy(tower.detach().float(), batch)
            seconds = round(time.monotonic() - started)
            run.log(loss=round(mean_loss, 4), seconds=seconds, **accuracy)
        last = run.step == config.steps
        if run.step % 250 == 0 or last:
            run.save()
            if run.is_first and (run.step % 500 == 0 or last):
                plain = PackingConfig(split="validation", questions=10, text_share=0, gap_share=0)
                run.log(validation=validate(model, plain, config.validation_batches))
                export(model, folder / "model")


def export(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Saves model and processor in half precision, as any transformers checkpoint."""
    half = LlavaForConditionalGeneration(model.config).bfloat16()
    half.load_state_dict(model.state_dict())
    half.generation_config = model.generation_config
    half.save_pretrained(folder)
    build_processor().save_pretrained(folder)


def pretrain(config: PretrainConfig, work: Path, output: Path, start: Path | None = None) -> None:
    """Runs or resumes both stages in `work` and saves the model to `output`.

    Args:
        config: The run.
        work: Checkpoints and log.
        output: Where the model goes.
        start: A checkpoint of the second stage whose weights to begin with.
    """
    work.mkdir(parents=True, exist_ok=True)
    model = build_model(config.seed)
    if start is not None:
        states = torch.load(start, weights_only=True)["model"]
        weights = {n.removeprefix("vlm."): t for n, t in states.items() if n.startswith("vlm.")}
        model.load_state_dict(weights)
    vision: Any = model.config.vision_config
    head = DenseHead(vision.hidden_size)
    train_tower(model, head, config, work)
    train_questions(model, head, config, work)
    if join_processes()[0] == 0:
        export(model, output)


def main() -> None:
    """Parses the command line and runs the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("assets/demo-vlm"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain"))
    parser.add_argument("--steps", type=int, default=PretrainConfig.steps)
    parser.add_argument("--tower-steps", type=int, default=PretrainConfig.tower_steps)
    parser.add_argument("--batch-size", type=int, default=PretrainConfig.batch_size)
    parser.add_argument("--validation-batches", type=int, default=PretrainConfig.validation_batches)
    parser.add_argument("--curriculum", type=float, default=PretrainConfig.curriculum)
    parser.add_argument("--weights", type=Path, help="checkpoint to initialise the weights from")
    parser.add_argument("--seed", type=int, default=PretrainConfig.seed)
    args = parser.parse_args()
    config = PretrainConfig(
        steps=args.steps,
        tower_steps=args.tower_steps,
        batch_size=args.batch_size,
        curriculum=args.curriculum,
        validation_batches=args.validation_batches,
        seed=args.seed,
    )
    pretrain(config, args.work, args.output, args.weights)


if __name__ == "__main__":
    main()
