"""The command line of the adapter's training; names with latent_ are the published ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from training.packing import PackingConfig
from vif.settings import Settings

# Relations are what the backbone gets wrong and a map can mend.
FAMILY_WEIGHTS = {
    "nearest": 3.5, "left": 3.0, "right": 3.0, "above": 3.0, "below": 3.0, "odd": 2.0,
    "neighbour-cell": 2.5, "tiny": 1.2, "glyph": 0.8,
}  # fmt: skip


def _flag(default: object, text: str) -> object:
    return field(default=default, metadata={"help": text})


@dataclass
class VIFArguments:
    """The command line; names that start with latent_ are the published ones."""

    model_name_or_path: str = _flag("assets/demo-vlm", "Backbone, kept frozen.")
    output: str = _flag("assets/demo-vif", "Where the adapter goes.")
    weights: str = _flag("", "Checkpoint of another run whose weights to begin with.")
    work: str = _flag("runs/vif", "Checkpoints and log.")
    use_latent_importance: bool = _flag(True, "Published switch; off is refused: nothing to train.")
    latent_learning_start: int = _flag(0, "First layer the latent is read from.")
    latent_learning_end: int = _flag(1, "Last layer the latent is read from.")
    latent_apply_start: int = _flag(2, "First layer the map is injected into.")
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
    range_mix: float = _flag(
        0.25, "Share of steps with ranges drawn at random: the page lets people change them."
    )
    box_weight: float = _flag(0.0, "Weight of the true-box loss (not part of the published one).")
    map_steps: int = _flag(0, "First steps that train the map alone (needs box_weight).")
    gate_steps: int = _flag(0, "Steps before the gate is freed.")
    steps: int = _flag(2400, "Steps in all.")
    batch_size: int = _flag(16, "Images per step.")
    questions: int = _flag(12, "Questions per image.")
    text_share: float = _flag(0.4, "Share of questions with unrelated text before them.")
    text_max: int = _flag(128, "Longest such text in tokens.")
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

    def draw_settings(self, generator: torch.Generator, num_layers: int) -> Settings:
        """Ranges of one step: a learning layer of the range, or with `range_mix` any sensible one.

        One learning layer costs half of two and leaves an adapter that works from any layer of
        its range, which is what one generator for all layers is for.
        """

        def between(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=generator))

        if float(torch.rand((), generator=generator)) < self.range_mix:
            layer = between(1, num_layers // 2)
            start = between(layer + 1, max(layer + 1, num_layers - 3))
            return replace(
                self.settings, learning=(layer, layer), injection=(start, num_layers - 1)
            )
        layers = self.settings.learning_layers
        layer = layers[between(0, len(layers) - 1)]
        return replace(self.settings, learning=(layer, layer))

    def packing(self, **changes: object) -> PackingConfig:
        """What the training scenes look like."""
        values = {
            "batch_size": self.batch_size,
            "questions": self.questions,
            "text_share": self.text_share,
            "text_max": self.text_max,
            "gap_share": 0.3,
            "text_from": self.map_steps,
            "weights": FAMILY_WEIGHTS,
            "first_seed": 100_000_000 + 10_000_000 * self.seed,
            "lane": max(64, self.text_max + 48),
        }
        return PackingConfig(**values | changes)
