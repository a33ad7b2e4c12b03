#!/usr/bin/env bash
# The published recipe (arXiv 2604.12508, scripts/finetune_7b.sh) for LLaVA-1.5-7B in this project's
# terms: latent learned at layers 11-17, map applied at 25-31, every second layer, K = 16, alpha 0.5,
# KL 0.1, sparsity 0.1; one epoch of llava_v1_5_mix665k at a global batch of 512, lr 2e-5, cosine,
# bf16, gradient checkpointing, the whole language model tuned beside the adapter.
#
#   DATA=/data/llava_v1_5_mix665k.json IMAGES=/data/images OUT=runs/vif-7b bash training/finetune_7b.sh
#
# With TUNE=adapter, TEACHER=0.5 has the answers' gradients teach the map (docs/answers.md), which the
# published recipe does not: the model is frozen, so each question is asked once.
#
# GPUS processes of BATCH conversations; accumulation makes it 512. TUNE=adapter fits one GPU of
# 24 GB (training/README.md has the arithmetic); TUNE=lora is in between.
set -euo pipefail
: "${DATA:?path of the JSON file}" "${IMAGES:?folder of its images}" "${OUT:?where the run goes}"
MODEL=${MODEL:-llava-hf/llava-1.5-7b-hf}
TUNE=${TUNE:-full}
TEACHER=${TEACHER:-0}
GPUS=${GPUS:-8}
BATCH=${BATCH:-16}
ACCUMULATION=${ACCUMULATION:-$((512 / (GPUS * BATCH)))}
[ "$((GPUS * BATCH * ACCUMULATION))" -eq 512 ] || {
  echo "error: GPUS x BATCH x ACCUMULATION is $((GPUS * BATCH * ACCUMULATION)), expected 512" >&2
  exit 2
}
# Conversations that share a frozen image come together; otherwise each counts for itself.
TOGETHER=1
[ "$TUNE" = adapter ] && TOGETHER=16
SHARDING=()
[ "$TUNE" = full ] && SHARDING=(--deepspeed training/configs/zero2.json)

torchrun --standalone --nproc_per_node "$GPUS" -m training.train_vif \
  "${SHARDING[@]}" \
  --model_name_or_path "$MODEL" \
  --image_aspect_ratio pad \
  --data_path "$DATA" \
  --image_folder "$IMAGES" \
  --records_together "$TOGETHER" \
  --output_dir "$OUT" \
  --tune "$TUNE" \
  --use_latent_importance True \
  --latent_learning_start 11 --latent_learning_end 17 \
  --latent_apply_start 25 --latent_apply_end 31 \
  --latent_layer_stride 2 \
  --latent_kl_weight 0.1 \
  --latent_sparsity_weight 0.1 --latent_entropy_weight 1.0 --latent_volume_weight 1.0 \
  --latent_num_components 16 \
  --latent_num_layers 3 --latent_num_heads 8 \
  --latent_hidden_size 512 --latent_ffn_dim 2048 \
  --latent_min_sigma 0.035 \
  --latent_bias_alpha 0.5 \
  --sample_learning_layer False --range_mix 0 --gap_share 0 \
  --prior_mix "${PRIOR_MIX:-0.5}" \
  --teacher_weight "$TEACHER" \
  --per_device_train_batch_size "$BATCH" \
  --gradient_accumulation_steps "$ACCUMULATION" \
  --num_train_epochs 1 \
  --learning_rate 2e-5 --weight_decay 0 \
  --warmup_steps 0.03 --lr_scheduler_type cosine \
  --train_sampling_strategy group_by_length \
  --bf16 True --tf32 True \
  --gradient_checkpointing True \
  --save_steps 200 --save_total_limit 2 \
  --logging_steps 1 \
  --dataloader_num_workers 4 \
  --report_to "${REPORT_TO:-tensorboard}" \
  "$@"
