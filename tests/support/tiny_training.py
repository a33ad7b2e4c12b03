"""A tiny model in a folder, a few scenes, and trainings of seconds on them."""

from __future__ import annotations

from pathlib import Path

from tests.support.tiny import tiny_model
from training.adapter.arguments import VIFArguments, VIFTrainingArguments
from training.pretrain.processor import build_processor
from vif.scenes.export import ExportOptions, export_scenes

FLAGS = {
    "latent_learning_start": 1,
    "latent_learning_end": 2,
    "latent_apply_start": 3,
    "latent_apply_end": 5,
    "latent_hidden_size": 16,
    "latent_ffn_dim": 16,
    "latent_num_layers": 1,
    "latent_num_heads": 2,
    "latent_num_components": 2,
    "box_weight": 0.3,
    "eval_images": 2,
}
TRAINING = {
    "max_steps": 4,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-2,
    "use_cpu": True,
    "logging_steps": 1,
    "save_steps": 2,
    "dataloader_num_workers": 0,
    "disable_tqdm": True,
}


def save_tiny_model(folder: Path, seed: int = 0) -> Path:
    """A model in a folder."""
    tiny_model(seed).save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


def save_scenes(folder: Path, number: int = 6, apart: bool = True) -> Path:
    """Scenes with three questions each; returns the data file."""
    options = ExportOptions(questions=3, text=12, least_text=1, text_share=0.5, apart=apart)
    return export_scenes(folder, "train", number, options=options)


def arguments(
    model: Path, data: Path, output: Path, **changes: object
) -> tuple[VIFArguments, VIFTrainingArguments]:
    """Both parts of the command line, with changes to either."""
    vif = {**FLAGS, "model_name_or_path": str(model), "data_path": str(data)}
    known = VIFArguments.__dataclass_fields__
    vif |= {name: value for name, value in changes.items() if name in known}
    training = TRAINING | {name: value for name, value in changes.items() if name not in known}
    return VIFArguments(**vif), VIFTrainingArguments(output_dir=str(output), **training)


def command(vif: VIFArguments, training: VIFTrainingArguments) -> list[str]:
    """The command line for them, without the program's name."""
    words = []
    for name in FLAGS | {"model_name_or_path": 0, "data_path": 0}:
        words += [f"--{name}", str(getattr(vif, name))]
    for name in TRAINING:
        words += [f"--{name}", str(getattr(training, name))]
    return [*words, "--output_dir", training.output_dir]
