"""transformers' Trainer for a VIF adapter: losses, parameter groups, checkpoints, validation."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset
from transformers import Trainer, TrainerCallback
from typing_extensions import override

from training.arguments import VIFArguments, VIFTrainingArguments
from training.encoding import Conversations, collate
from training.model import VIFModel
from training.optim import MuonWithAdamW, is_matrix, parameter_groups
from training.validation import gather, validate

TOKENS, QUESTIONS, BOXED = range(3)
COUNT_OF = {"lm": TOKENS, "box": BOXED, "pointing": BOXED, "in_box": BOXED}


class VIFTrainer(Trainer):
    """Trains a `VIFModel`.

    Losses are sums divided by the counts of the whole optimiser step, over accumulated batches and
    processes, so that the split does not matter.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: VIFModel,
        vif: VIFArguments,
        args: VIFTrainingArguments,
        train_dataset: Conversations,
        eval_datasets: dict[str, Conversations],
    ) -> None:
        self.vif, self.eval_datasets = vif, eval_datasets
        self.sums: dict[str, float] = defaultdict(float)
        self.evaluated: tuple[int, dict[str, float]] = (-1, {})
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_datasets or None,
            data_collator=collate,
            callbacks=[LogFile()],
        )

    @override
    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, torch.Tensor]:
        """Batches of one optimiser step, and how many tokens and questions all processes have."""
        batches = list(islice(epoch_iterator, num_batches))
        counts = sum((batch["counts"] for batch in batches), torch.zeros(3)).to(device)
        if self.args.world_size > 1:
            counts = self.accelerator.gather(counts[None]).sum(0)
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
        layers = self.unwrapped.backbone.num_layers
        plan = self.vif.plan(self.args.seed, self.state.global_step, layers)
        parts = model(inputs, plan)
        weights = {
            "lm": 1.0,
            "kl": self.vif.latent_kl_weight,
            "entropy": self.vif.latent_sparsity_weight * self.vif.latent_entropy_weight,
            "volume": self.vif.latent_sparsity_weight * self.vif.latent_volume_weight,
            "box": self.vif.box_weight,
        }
        counts = num_items_in_batch.clamp_min(1)
        loss = sum(
            weights[name] * parts[name] / counts[COUNT_OF.get(name, QUESTIONS)]
            for name in weights
            if name in parts
        )
        for name, value in parts.items():
            self.sums[name] += float(value.detach())
            self.sums[f"{name}/count"] += float(inputs["counts"][COUNT_OF.get(name, QUESTIONS)])
        return loss * self.args.world_size

    @property
    def unwrapped(self) -> VIFModel:
        """The model itself."""
        return self.accelerator.unwrap_model(self.model)

    @override
    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, or Muon for the matrices of the adapter, with a learning rate per kind."""
        if self.optimizer is None:
            make = self._muon if self.args.matrix_optimizer == "muon" else self._adamw
            self.optimizer = make()
        return self.optimizer

    def _rates(self, adapter: float) -> dict[str, float]:
        base = self.args.learning_rate
        decoder, projector = self.args.decoder_lr, self.args.mm_projector_lr
        return {
            "adapter": adapter,
            "gate": adapter * self.args.gate_lr_scale,
            "projector": base if projector is None else projector,
            "decoder": base if decoder is None else decoder,
        }

    def _adamw(self) -> torch.optim.Optimizer:
        named = self.unwrapped.named_parameters()
        groups = parameter_groups(named, self._rates(self.args.learning_rate))
        betas = (self.args.adam_beta1, self.args.adam_beta2)
        return torch.optim.AdamW(
            [{"params": [p for _, p in found], "lr": lr} for lr, found in groups.values()],
            betas=betas,
            eps=self.args.adam_epsilon,
            weight_decay=self.args.weight_decay,
        )

    def _muon(self) -> torch.optim.Optimizer:
        named = list(self.unwrapped.named_parameters())
        matrices = [(n, p) for n, p in named if n.startswith("adapter.") and is_matrix(n, p)]
        chosen = {name for name, _ in matrices}
        rest = [(n, p) for n, p in named if n not in chosen]
        both = []
        for found, rate in (
            (matrices, self.args.learning_rate),
            (rest, self.args.adam_learning_rate),
        ):
            groups = parameter_groups(found, self._rates(rate))
            both.append([{"params": [p for _, p in g], "lr": lr} for lr, g in groups.values()])
        return MuonWithAdamW(*both)

    @override
    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the parts of the loss since the last line."""
        if "loss" in logs:
            names = [name for name in self.sums if "/" not in name]
            logs |= {
                name: round(self.sums[name] / max(self.sums[f"{name}/count"], 1), 5)
                for name in names
            }
            self.sums.clear()
        super().log(logs, start_time)

    @override
    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Validates on every validation set; see `training.validation.validate`."""
        if self.evaluated[0] == self.state.global_step:  # Trainer asks once more at the end
            return self.evaluated[1]
        model, metrics = self.unwrapped.eval(), {}
        for name, data in self.eval_datasets.items():
            rank, world = self.args.process_index, self.args.world_size
            number = min(len(data), self.vif.eval_images)
            mine = Subset(data, range(rank, number, world))
            loader = DataLoader(mine, self.args.eval_batch_size, collate_fn=collate)
            with self.accelerator.autocast():
                found = validate(model, loader, self.vif.settings, self.args.device)
            tables = gather(found)
            for measure, groups in tables.items():
                metrics[f"eval_{name}_{measure}"] = groups["all"]
            if self.is_world_process_zero():
                write_line(
                    self.args, {"step": self.state.global_step, "validation": {name: tables}}
                )
        model.train()
        self.log(dict(metrics))
        self.evaluated = (self.state.global_step, metrics)
        return metrics

    @override
    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """The adapter, in full precision where training may go on from it."""
        folder = Path(output_dir or self.args.output_dir)
        is_final = folder == Path(self.args.output_dir)
        self.unwrapped.adapter.save_pretrained(folder, torch.float16 if is_final else None)

    @override
    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        """Reads the adapter back."""
        adapter = self.unwrapped.adapter
        adapter.load_state_dict(type(adapter).from_pretrained(resume_from_checkpoint).state_dict())


class LogFile(TrainerCallback):
    """Every line of the log in ``<output_dir>/log.jsonl``."""

    @override
    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Appends a line."""
        if state.is_world_process_zero and logs is not None:
            write_line(args, {"step": state.global_step, **logs})


def write_line(args: Any, line: dict[str, Any]) -> None:
    """Appends a line to the log."""
    path = Path(args.output_dir) / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
