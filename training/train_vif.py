"""Trains a VIF adapter on LLaVA-format data. Resumable: run the same command again.

python -m training.train_vif --model_name_or_path llava-hf/llava-1.5-7b-hf \
    --data_path llava_v1_5_mix665k.json --image_folder data --output_dir runs/vif-7b
"""

from __future__ import annotations

import os
from pathlib import Path

# Spinning OpenMP threads would take the cores from the data workers.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from transformers import HfArgumentParser, set_seed
from transformers.trainer_utils import get_last_checkpoint

from training.arguments import VIFArguments, VIFTrainingArguments
from training.encoding import Conversations, Encoder
from training.model import VIFModel
from training.records import Records, Skipped
from training.trainer import VIFTrainer
from vif.adapter import VIFAdapter
from vif.adapter_files import build
from vif.backbone import Backbone
from vif.config import VIFConfig
from vif.errors import InputError


def train(vif: VIFArguments, args: VIFTrainingArguments) -> VIFTrainer:
    """Runs or resumes a training and saves the adapter.

    Raises:
        InputError: If anything given cannot be used; the message says what and why.
    """
    if not vif.use_latent_importance:
        raise InputError(
            "use_latent_importance is False, but the adapter is all that is trained here: leave it "
            "on, or ask with --methods plain."
        )
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    backbone = Backbone.load(vif.model_name_or_path, str(args.device))
    encoder = Encoder(backbone)
    skipped = Skipped(output / "skipped.jsonl")
    data = _open(vif.data_path, vif, encoder, skipped)
    evaluated = {
        Path(path).stem: _open(path, vif, encoder, skipped)
        for path in filter(None, vif.eval_data_path.split(","))
    }
    set_seed(args.seed)
    model = VIFModel(backbone, make_adapter(vif, backbone))
    trainer = VIFTrainer(model, vif, args, data, evaluated)
    last = get_last_checkpoint(args.output_dir)
    trainer.train(resume_from_checkpoint=last)
    trainer.save_model()
    return trainer


def _open(path: str, vif: VIFArguments, encoder: Encoder, skipped: Skipped) -> Conversations:
    if not path:
        raise InputError("No data was given: name a LLaVA-format file with --data_path.")
    records = Records(path, vif.image_folder or Path(path).parent, skipped)
    return Conversations(records, encoder)


def make_adapter(vif: VIFArguments, backbone: Backbone) -> VIFAdapter:
    """The adapter that the arguments describe for a backbone, or the one that they name.

    Raises:
        InputError: If ranges lie outside of the model, or the adapter named is another's.
    """
    config = adapter_config(vif, backbone)
    adapter = build(config)
    if vif.weights:
        state = VIFAdapter.from_pretrained(vif.weights).state_dict()
        adapter.load_state_dict(state)
    return adapter.to(backbone.device)


def adapter_config(vif: VIFArguments, backbone: Backbone) -> VIFConfig:
    """The adapter that the arguments describe for a backbone."""
    settings = vif.settings
    settings.check(backbone.num_layers)
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


def main() -> None:
    """Command line."""
    try:
        train(*HfArgumentParser((VIFArguments, VIFTrainingArguments)).parse_args_into_dataclasses())
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
