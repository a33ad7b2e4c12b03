"""Command line of adapter training; flags with published names keep their published meaning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from training.adapter.plan import Plan
from vif.errors import InputError
from vif.methods.evidence import FIRST_LAYER, FULL_GAIN, SHARPNESS, STRENGTH
from vif.settings import Settings


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


SHARES = ("prior_mix", "range_mix", "gap_share", "teacher_prior", "teacher_strength")


@dataclass
class VIFArguments:
    """Flags for model, data and VIF; those that start with latent_ are named as published."""

    model_name_or_path: str = _flag("assets/demo-vlm", "Backbone.")
    image_aspect_ratio: str = _flag(
        "",
        "How pictures are made square: pad or crop (LLaVA-1.5: pad); empty leaves it to "
        "the processor.",
    )
    data_path: str = _flag("", "LLaVA-format data: a JSON list or JSON lines.")
    records_together: int = _flag(
        16,
        "Maximum number of records of one image in one item of a batch; they share the "
        "image if possible.",
    )
    image_folder: str = _flag("", "Folder of the images; default: the folder of the data.")
    eval_data_path: str = _flag("", "Validation data; separate several files by commas.")
    eval_images: int = _flag(48, "Number of images used from each validation file.")
    weights: str = _flag("", "Adapter to initialise the weights from.")
    tune: str = _flag(
        "adapter", "What is trained: adapter; lora or full train parts of the model as well."
    )
    lora_rank: int = _flag(128, "Rank of LoRA, as published.")
    lora_alpha: float = _flag(256.0, "Scale of LoRA, as published.")
    lora_dropout: float = _flag(0.05, "Dropout of LoRA, as published.")
    trace_steps: int = _flag(0, "Steps between traces of a few fixed questions; 0 for none.")
    trace_questions: int = _flag(4, "How many questions.")
    use_latent_importance: bool = _flag(
        True, "Published switch; if off, only the model is tuned, as a control."
    )
    latent_learning_start: int = _flag(0, "First layer the latent is read from.")
    latent_learning_end: int = _flag(1, "Last layer the latent is read from.")
    latent_apply_start: int = _flag(2, "First layer the map is injected into.")
    latent_apply_end: int = _flag(7, "Last layer the map is injected into.")
    latent_layer_stride: int = _flag(1, "Stride of both ranges: use every n-th layer.")
    latent_kl_weight: float = _flag(0.1, "Weight of KL(posterior || prior).")
    latent_sparsity_weight: float = _flag(0.02, "Weight of entropy and volume together.")
    latent_entropy_weight: float = _flag(1.0, "Weight of the map's entropy within sparsity.")
    latent_volume_weight: float = _flag(1.0, "Weight of mean squared sigma within sparsity.")
    latent_repulsion_weight: float = _flag(
        0.0, "Weight of the penalty on overlapping components; in the published code it is unused."
    )
    latent_free_bits: float = _flag(
        0.0, "KL divergence that is free of loss, in nats per dimension."
    )
    latent_num_components: int = _flag(8, "Mixture components K.")
    latent_num_layers: int = _flag(4, "Blocks of the latent slots.")
    latent_num_heads: int = _flag(4, "Attention heads of the adapter.")
    latent_hidden_size: int = _flag(128, "Width of the adapter.")
    latent_ffn_dim: int = _flag(256, "Inner width of its feed-forward parts.")
    latent_min_sigma: float = _flag(0.035, "Smallest standard deviation, in image widths.")
    latent_bias_alpha: float = _flag(0.5, "Strength at a gate of 1.")
    encoder: str = _flag("slots", "slots, or published.")
    means: str = _flag("pointing", "pointing, or head as published.")
    grid: str = _flag("centres", "centres, or endpoint as published.")
    renderer: str = _flag("density", "density, or softmax as published.")
    phase: str = _flag("both", "both: prompt and answers are steered; prefill: only the prompt.")
    prior_mix: float = _flag(0.5, "Share of steps whose answers use a sample of the prior.")
    sample_latent: bool = _flag(
        True,
        "If off, means are used; with a prior_mix of 1 this is a deterministic pointer, as "
        "a control.",
    )
    range_mix: float = _flag(
        0.25,
        "Share of steps with random ranges, because visitors of the page can change the ranges.",
    )
    sample_learning_layer: bool = _flag(
        True, "Use one random learning layer per step instead of all of them, which is cheaper."
    )
    box_weight: float = _flag(
        0.0, "Weight of the loss on true boxes (not part of the published loss)."
    )
    teacher_weight: float = _flag(
        0.0, "Weight of the evidence about places from the gradients of answers; 0 disables it."
    )
    teacher_store: str = _flag(
        "", "Folder that stores this evidence for later runs; default: in the output folder."
    )
    teacher_start: int = _flag(
        FIRST_LAYER, "First layer where the teacher's uniform map is mixed in."
    )
    teacher_strength: float = _flag(STRENGTH, "Share of attention on the teacher's uniform map.")
    teacher_sharpness: float = _flag(
        SHARPNESS, "Log-likelihood per standard deviation of the gradient."
    )
    teacher_gain: float = _flag(
        FULL_GAIN, "Predicted gain from which evidence gets full weight, in nats."
    )
    teacher_prior: float = _flag(
        1.0,
        "Power of the prior in what the map is taught, at the first step; it rises to 1 during the "
        "first four fifths of map_steps.",
    )
    map_steps: int = _flag(
        0, "Number of initial steps that train only the map (needs teacher_weight or box_weight)."
    )
    gate_steps: int = _flag(0, "Steps before the gate is trained.")
    gap_share: float = _flag(
        0.3, "Share of rows with a gap in their positions, as after long text."
    )
    gap_max: int = _flag(384, "Longest such gap, in positions; 0 disables gaps.")

    def check(self) -> None:
        """Refuses values that cannot be used, alone or together.

        Raises:
            InputError: The message says what and why.
        """
        if not self.use_latent_importance and self.tune == "adapter":
            raise InputError(
                "use_latent_importance is False, but only the adapter is trained: leave it on, or "
                "tune only the model with --tune lora."
            )
        if self.map_steps and not (self.teacher_weight or self.box_weight):
            raise InputError(
                f"map_steps is {self.map_steps}, but there is no training signal for the map "
                "alone: give --teacher_weight (or --box_weight), or remove --map_steps."
            )
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number from 0 to 1.")

    @property
    def settings(self) -> Settings:
        """Ranges and strength as at inference."""
        return Settings(
            learning=(self.latent_learning_start, self.latent_learning_end),
            injection=(self.latent_apply_start, self.latent_apply_end),
            stride=self.latent_layer_stride,
            alpha=self.latent_bias_alpha,
            phase=self.phase,
        )

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of every part of the loss."""
        sparsity = self.latent_sparsity_weight
        return {
            "lm": 1.0,
            "kl_over": self.latent_kl_weight,
            "repulsion": self.latent_repulsion_weight,
            "evidence": self.teacher_weight,
            "posterior": self.teacher_weight,
            "entropy": sparsity * self.latent_entropy_weight,
            "volume": sparsity * self.latent_volume_weight,
            "box": self.box_weight,
        }

    def plan(
        self, seed: int, step: int, num_layers: int, attention_layers: tuple[int, ...] | None = None
    ) -> Plan:
        """What a step does; it depends on (seed, step) alone.

        Args:
            seed: Of the training.
            step: Number of the step.
            num_layers: Decoder layers of the model.
            attention_layers: Which of them have attention, if not all have.
        """
        drawn = seed * 1_000_003 + step
        generator = torch.Generator().manual_seed(drawn)
        prior = float(torch.rand((), generator=generator)) < self.prior_mix
        settings = self._draw_settings(generator, num_layers)
        return Plan(
            settings=replace(settings, attention_layers=attention_layers),
            posterior=not prior,
            noise=self.sample_latent,
            fixed_gate=step < self.gate_steps,
            map_only=step < self.map_steps,
            prior_power=self._prior_power(step),
            seed=drawn,
            gap_share=self.gap_share,
            gap_max=self.gap_max,
            source="vif" if self.use_latent_importance else "plain",
        )

    def _prior_power(self, step: int) -> float:
        """Rises from `teacher_prior` to 1; 1 without steps of the map alone."""
        risen = step / max(0.8 * self.map_steps, 1) if self.map_steps else 1.0
        return min(1.0, self.teacher_prior + (1 - self.teacher_prior) * risen)

    def _draw_settings(self, generator: torch.Generator, num_layers: int) -> Settings:
        """The learning and injection ranges of one training step.

        One learning layer of its range, drawn anew every step, leaves an adapter that works from
        any of them, which is what one generator for all layers is for.
        """

        def between(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=generator))

        # A model of three layers has no other sensible range.
        has_choice = num_layers > 3
        if float(torch.rand((), generator=generator)) < self.range_mix and has_choice:
            layer = between(1, num_layers // 2)
            start = between(layer + 1, max(layer + 1, num_layers - 3))
            return replace(
                self.settings, learning=(layer, layer), injection=(start, num_layers - 1), stride=1
            )
        if not self.sample_learning_layer:
            return self.settings
        layers = self.settings.learning_layers
        layer = layers[between(0, len(layers) - 1)]
        return replace(self.settings, learning=(layer, layer))


@dataclass
class VIFTrainingArguments(TrainingArguments):
    """Trainer's own, with the defaults of this project."""

    learning_rate: float = _flag(
        2e-5, "Learning rate of the adapter; that of Muon if it is chosen."
    )
    adam_learning_rate: float = _flag(
        1e-3, "With Muon: learning rate of AdamW, for parameters that are not matrices."
    )
    mm_projector_lr: float | None = _flag(
        None, "Learning rate of the projector; default: that of the adapter."
    )
    decoder_lr: float | None = _flag(
        None, "Learning rate of the language model; default: that of the adapter."
    )
    gate_lr_scale: float = _flag(1.0, "Factor on the adapter's learning rates for its gate.")
    matrix_optimizer: str = _flag("adamw", "Optimiser of the adapter's matrices: adamw or muon.")
    lr_scheduler_type: str = _flag("cosine", "Schedule of the learning rates.")
    remove_unused_columns: bool = _flag(False, "Always off: batches are built by this program.")
    ddp_find_unused_parameters: bool | None = _flag(
        True, "Must stay on: steps train different parameters."
    )
    dataloader_num_workers: int = _flag(1, "Processes that read and encode data.")
    logging_steps: float = _flag(25, "Steps between lines of the log.")
    save_total_limit: int | None = _flag(2, "Number of checkpoints that are kept.")


def output_of(args: TrainingArguments) -> Path:
    """The folder that a training writes to; transformers always sets one."""
    assert args.output_dir is not None
    return Path(args.output_dir)
