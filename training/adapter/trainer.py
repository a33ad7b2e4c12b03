"""transformers' Trainer for a VIF adapter: losses, learning rates, checkpoints, validation."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.utils.data import DataLoader, Dataset, Sampler, Subset
from transformers import Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import get_last_checkpoint, rotate_checkpoints
from typing_extensions import override

from training.adapter.arguments import VIFArguments, VIFTrainingArguments, output_of
from training.adapter.callbacks import LogFile, write_line
from training.adapter.model import NOTHING, VIFModel
from training.adapter.optim import make_optimizer
from training.adapter.tuning import gathered, restore, save
from training.adapter.validation import gather, validate
from training.data.batches import BOXED, QUESTIONS, READ, ROWS, TOKENS, Collator
from training.data.encoding import Conversations
from vif.errors import InputError

COUNT_OF = {"lm": TOKENS, "box": BOXED, "pointing": BOXED, "in_box": BOXED}
PARTIAL = "partial"


class VIFTrainer(Trainer):
    """The Hugging Face trainer of a `VIFModel`: several learning rates, more losses in the log.

    Losses are sums divided by the counts of the whole optimiser step, over accumulated batches and
    processes, so that how a batch is split does not matter.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: VIFModel,
        vif: VIFArguments,
        args: VIFTrainingArguments,
        train_dataset: Conversations,
        eval_datasets: dict[str, Conversations],
        callbacks: list[TrainerCallback],
    ) -> None:
        _check(args)
        self.own = args
        self.vif, self.eval_datasets, self.records = vif, eval_datasets, train_dataset.records
        self.sums: dict[str, float] = defaultdict(float)
        self.seen, self.since = torch.zeros(5), time.monotonic()
        self.evaluated: tuple[int, dict[str, float]] = (-1, {})
        evaluated: dict[str, Dataset] = dict(eval_datasets)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=evaluated or None,
            data_collator=Collator(model.whole),
            callbacks=[LogFile(), *callbacks],
        )

    @property
    def unwrapped(self) -> VIFModel:
        """The model without the wrappers of distributed training."""
        return self.accelerator.unwrap_model(self.model)

    @override
    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, torch.Tensor]:
        """Batches of one optimiser step, and what all processes have of everything counted."""
        batches: list[Any] = list(islice(epoch_iterator, num_batches))
        counts = sum((batch["counts"] for batch in batches), torch.zeros(5)).to(device)
        if self.args.world_size > 1:
            everyones: Any = self.accelerator.gather(counts[None])
            counts = everyones.sum(0)
        self.seen += counts.cpu()
        return batches, counts

    @override
    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The weighted sum of all parts; DDP averages gradients, hence the number of processes."""
        backbone = self.unwrapped.backbone
        plan = self.vif.plan(
            self.args.seed,
            self.state.global_step,
            backbone.num_layers,
            backbone.layers_to_steer,
        )
        parts, weights = model(inputs, plan), self.vif.loss_weights
        assert num_items_in_batch is not None  # `get_batch_samples` counts them
        counts = num_items_in_batch.clamp_min(1)
        loss = parts.pop(NOTHING, 0.0) + sum(
            weights[name] * parts[name] / counts[COUNT_OF.get(name, QUESTIONS)]
            for name in weights
            if name in parts
        )
        for name, value in parts.items():
            self.sums[name] += float(value.detach())
            self.sums[f"{name}/count"] += float(inputs["counts"][COUNT_OF.get(name, QUESTIONS)])
        return loss * self.args.world_size

    @override
    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """See `training.adapter.optim.make_optimizer`."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.unwrapped, self.own)
        return self.optimizer

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        """Groups by the number of bytes in the file, which needs no encoding."""
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return ByLength(size * self.args.world_size, self.records.lengths, self.args.seed)

    @override
    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the parts of the loss, speed and memory since the last line."""
        if "loss" in logs:
            names = [name for name in self.sums if "/" not in name]
            for name in names:
                mean = self.sums[name] / max(self.sums[f"{name}/count"], 1)
                logs[name] = round(mean, 5)
            seconds = time.monotonic() - self.since
            logs["tokens_per_second"] = round(float(self.seen[READ]) / seconds, 1)
            logs["samples_per_second"] = round(float(self.seen[ROWS]) / seconds, 2)
            teacher = self.unwrapped.teacher
            if teacher is not None:  # The cost of evidence so far, and the questions without any.
                logs["asked"], logs["asking_seconds"] = teacher.asked, round(teacher.seconds, 1)
                logs["without_evidence"] = sum(teacher.skipped.values())
            logs["peak_memory_gb"] = round(peak_memory() / 1e9, 2)
            self.sums.clear()
            self.seen, self.since = torch.zeros(5), time.monotonic()
        super().log(logs, start_time)

    @override
    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Validates on every validation set; see `training.adapter.validation.validate`."""
        if self.evaluated[0] == self.state.global_step:  # Trainer evaluates once more at the end.
            return self.evaluated[1]
        started, model, metrics = time.monotonic(), self.unwrapped.eval(), {}
        for name, data in self.eval_datasets.items():
            rank, world = self.args.process_index, self.args.world_size
            number = min(len(data), self.vif.eval_images)
            mine = Subset(data, range(rank, number, world))
            loader = DataLoader(mine, self.args.eval_batch_size, collate_fn=self.data_collator)
            with self.accelerator.autocast(), gathered(self.unwrapped):
                tables = gather(validate(model, loader, self.vif.settings, self.args.device))
            metrics |= {f"eval_{name}_{measure}": of["all"] for measure, of in tables.items()}
            if self.is_world_process_zero():
                line = {"step": self.state.global_step, "validation": {name: tables}}
                write_line(self.args, line)
        model.train()
        self.log(dict(metrics))
        self.evaluated = (self.state.global_step, metrics)
        self.since += time.monotonic() - started  # validation is not training speed
        return metrics

    @override
    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Writes a checkpoint, whole or not at all.

        Raises:
            InputError: If it cannot be written; the last one is left as it was.
        """
        output = output_of(self.args)
        partial, name = output / PARTIAL, f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.args.output_dir = str(partial)
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, SafetensorError, RuntimeError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise InputError(_unwritten(output, name, error)) from error
        finally:
            self.args.output_dir = str(output)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            shutil.rmtree(output / name, ignore_errors=True)
            os.replace(partial / name, output / name)
            rotate_checkpoints(output_dir=str(output), save_total_limit=self.args.save_total_limit)

    @override
    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Adapter, in full precision where training may go on from it, and what else is tuned."""
        # Under FSDP every process comes here, but only the first one has all weights.
        if not self.args.should_save:
            return
        folder = Path(output_dir) if output_dir else output_of(self.args)
        is_checkpoint = folder.name.startswith("checkpoint-")
        dtype = None if is_checkpoint else torch.float16
        save(self.unwrapped, folder, dtype, state_dict if self.is_fsdp_enabled else None)

    @override
    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        """Reads back what `_save` wrote."""
        restore(self.unwrapped, Path(resume_from_checkpoint))


def _check(args: VIFTrainingArguments) -> None:
    """Raises `InputError` for what Trainer offers and this training cannot do."""
    if args.load_best_model_at_end:
        raise InputError(
            "load_best_model_at_end is not supported: remove it and choose a checkpoint by its "
            "validation scores in log.jsonl."
        )
    if args.n_gpu > 1:
        raise InputError(
            f"{args.n_gpu} GPUs are visible to one process: start it with torchrun "
            "--nproc_per_node, or expose one GPU with CUDA_VISIBLE_DEVICES=0."
        )


class ByLength(Sampler):
    """Groups items of similar length and reshuffles them every epoch, by the seed."""

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        self.batch_size, self.lengths, self.seed, self.epoch = batch_size, lengths, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which seeds the order of the items."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        sampler = LengthGroupedSampler(self.batch_size, lengths=self.lengths, generator=generator)
        return iter(sampler)


def peak_memory() -> int:
    """The most memory that was in use, in bytes: of the GPU, or without one of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _unwritten(output: Path, name: str, error: Exception) -> str:
    last = get_last_checkpoint(str(output))
    kept = f"{Path(last).name} is the last good one" if last else "there is no earlier checkpoint"
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"{name} could not be written to {output} ({reason}): {kept}; free some disk space and "
        "run the same command again to resume from it."
    )
