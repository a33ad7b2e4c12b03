"""Trains a VIF adapter on LLaVA-format data. Resumable: run the same command again.

python -m training.train_vif --model_name_or_path llava-hf/llava-1.5-7b-hf \
    --data_path llava_v1_5_mix665k.json --image_folder data --output_dir runs/vif-7b
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

# Spinning OpenMP threads would take the cores from the data workers.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from safetensors import SafetensorError
from transformers import HfArgumentParser, set_seed
from transformers.trainer_utils import get_last_checkpoint

from training.adapter.arguments import VIFArguments, VIFTrainingArguments, output_of
from training.adapter.callbacks import Tracer
from training.adapter.model import VIFModel
from training.adapter.teacher import EvidenceKey, EvidenceStore, Teacher
from training.adapter.trainer import VIFTrainer
from training.adapter.tuning import read_adapter, unfreeze
from training.data.encoding import Conversations, Encoder
from training.data.records import RecordIndex, SkippedRecords
from vif.adapter import VIFAdapter, build
from vif.adapter.config import VIFConfig
from vif.check.proof import load_proved
from vif.errors import InputError, exit_status
from vif.model.backbone import Backbone
from vif.settings import Settings

_log = logging.getLogger(__name__)


def train(vif: VIFArguments, args: VIFTrainingArguments) -> VIFTrainer:
    """Runs or resumes a training and saves the adapter.

    Raises:
        InputError: If anything given cannot be used; the message says what and why.
    """
    vif.check()
    output = output_of(args)
    output.mkdir(parents=True, exist_ok=True)
    set_seed(args.seed)
    dtype = "float32" if vif.tune == "full" else None
    backbone = load_proved(
        vif.model_name_or_path,
        device=str(args.device),
        dtype=dtype,
        image_aspect_ratio=vif.image_aspect_ratio or None,
    )
    adapter = make_adapter(vif, backbone).requires_grad_(vif.use_latent_importance)
    unfreeze(backbone, vif.tune, vif.lora_rank, vif.lora_alpha, vif.lora_dropout)
    data, evaluated = open_data(vif, args, backbone)
    adapter.config = replace(adapter.config, trained_on=describe(vif, data))
    teacher = make_teacher(vif, args, backbone)
    model = VIFModel(backbone, adapter, vif.tune, teacher, vif.latent_free_bits)
    callbacks = []
    if vif.trace_steps:
        shown = next(iter(evaluated.values()), data)
        traces = (vif.trace_steps, vif.trace_questions, output / "traces")
        callbacks.append(Tracer(model, shown, *traces))
    trainer = VIFTrainer(model, vif, args, data, evaluated, callbacks)
    try:
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(output)))
        trainer.save_model()
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"Reading or writing failed during training ({error}): fix this and run the same "
            "command again to resume from the last checkpoint."
        ) from error
    return trainer


def open_data(
    vif: VIFArguments, args: VIFTrainingArguments, backbone: Backbone
) -> tuple[Conversations, dict[str, Conversations]]:
    """Training data, and validation data by the names of their files.

    Raises:
        InputError: If data are missing, broken or empty.
    """
    if not vif.data_path:
        raise InputError("No data was given: give a LLaVA-format file with --data_path.")
    path = output_of(args) / "skipped.jsonl"
    skipped = SkippedRecords(path, quiet=args.process_index != 0)
    if not skipped.quiet:
        path.unlink(missing_ok=True)
    encoder, found = Encoder(backbone), []
    for name in (vif.data_path, *filter(None, vif.eval_data_path.split(","))):
        folder = vif.image_folder or Path(name).parent
        records = RecordIndex(name, folder, skipped, vif.tune != "adapter", vif.records_together)
        found.append(Conversations(records, encoder))
    if skipped.count:
        _log.warning("%d records were skipped: see %s.", skipped.count, path)
    skipped.quiet = False
    data, *evaluated = found
    return data, {part.records.path.stem: part for part in evaluated}


def describe(vif: VIFArguments, data: Conversations) -> str:
    """What an adapter is trained on, in words that are shown beside its maps."""
    sources = []
    if vif.teacher_weight:
        sources.append("their answers")
    if vif.box_weight:
        sources.append("true boxes")
    teacher = " and ".join(sources) or "the answers' loss"
    only = " alone" if sources == ["their answers"] else ""
    return f"{len(data):,} images with {len(data.records.spans):,} questions, from {teacher}{only}"


def make_teacher(
    vif: VIFArguments, args: VIFTrainingArguments, backbone: Backbone
) -> Teacher | None:
    """The teacher that computes evidence about places, if it has a weight.

    Raises:
        InputError: If its store holds what another model or other data said.
    """
    if not vif.teacher_weight:
        return None
    path = Path(vif.data_path)
    layers = (min(vif.teacher_start, backbone.num_layers - 1), backbone.num_layers - 1)
    asking = EvidenceKey(
        backbone.name,
        f"{path.name}, {path.stat().st_size} bytes",
        vif.records_together,
        layers,
        vif.teacher_strength,
    )
    folder = vif.teacher_store or output_of(args) / "teacher"
    return Teacher(
        EvidenceStore(folder, asking, args.process_index),
        list(range(layers[0], layers[1] + 1)),
        vif.teacher_strength,
        vif.teacher_sharpness,
        vif.teacher_gain,
    )


def make_adapter(vif: VIFArguments, backbone: Backbone) -> VIFAdapter:
    """The adapter that the arguments describe for a backbone.

    Raises:
        InputError: If ranges lie outside of the model, or the weights named are another's.
    """
    adapter = build(adapter_config(vif, backbone))
    if vif.weights:
        read_adapter(adapter, vif.weights, backbone)
    return adapter.to(backbone.device)


def adapter_config(vif: VIFArguments, backbone: Backbone) -> VIFConfig:
    """The adapter that the arguments describe for a backbone.

    Raises:
        InputError: If there can be none such.
    """
    settings = replace(vif.settings, attention_layers=backbone.layers_to_steer)
    settings.check(backbone.num_layers)
    try:
        return _config(vif, settings, backbone)
    except ValueError as error:
        raise InputError(str(error)) from error


def _config(vif: VIFArguments, settings: Settings, backbone: Backbone) -> VIFConfig:
    return VIFConfig(
        hidden_size=backbone.text_config.hidden_size,
        num_layers=backbone.num_layers,
        num_heads=backbone.num_heads,
        width=vif.latent_hidden_size,
        num_components=vif.latent_num_components,
        slot_layers=vif.latent_num_layers,
        latent_heads=vif.latent_num_heads,
        ffn_dim=vif.latent_ffn_dim,
        min_sigma=vif.latent_min_sigma,
        encoder=vif.encoder,
        means=vif.means,
        grid=vif.grid,
        renderer=vif.renderer,
        learning=settings.learning,
        injection=settings.injection,
        stride=settings.stride,
        alpha=settings.alpha,
        phase=settings.phase,
        entropy_weight=vif.latent_entropy_weight,
        volume_weight=vif.latent_volume_weight,
        backbone=backbone.name,
    )


def main() -> int:
    """Trains as the command line says and returns its exit status; see `vif.errors.exit_status`."""

    def run() -> None:
        kinds: Any = (VIFArguments, VIFTrainingArguments)
        train(*HfArgumentParser(kinds).parse_args_into_dataclasses())

    try:
        return exit_status(run)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
