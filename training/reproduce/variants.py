"""What `make reproduce-all` trains besides the shipped adapter: seeds, controls, ablations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

# Of the shipped adapter.
SEED = 2
# Controls are as long as the shipped adapter's training; the others get this share of its steps.
MATCHED_SHARE = 0.2
ABLATION_SHARE = 0.5
COMPARED = ("vif", "uniform", "oracle")


@dataclass(frozen=True)
class Variant:
    """An adapter that differs from the shipped recipe in one thing.

    Attributes:
        name: What it is called in its table.
        text: One line for the table.
        flags: What it changes on the command line of `training.train_vif`.
        seed: Of its map's training.
        split: What it is measured on: nothing is chosen on test.
        methods: What is measured besides plain.
        has_map: Whether its map is trained first.
        joint_share: Without that: joint steps, as a multiple of the usual ones, that take as long.
        image_share: Of the shipped recipe's images per step.
        tunes_model: Whether the outcome is a model instead of an adapter.
        share: Of the shipped adapter's steps.
        is_shipped: Whether it is the shipped adapter itself, which is only measured again.
        folder: Of its files, for variants whose names others have too.
    """

    name: str
    text: str
    flags: tuple[str, ...] = ()
    seed: int = 0
    split: str = "test"
    methods: tuple[str, ...] = COMPARED
    has_map: bool = True
    joint_share: float = 1.0
    image_share: float = 1.0
    tunes_model: bool = False
    share: float = 1.0
    is_shipped: bool = False
    folder: str = ""

    @property
    def path(self) -> str:
        """Of its training and its results, without a suffix, among those of all variants."""
        return str(PurePosixPath(self.folder, self.name))


# Time of a step as a multiple of a joint step. Map and evidence steps agree with the logs
# (docs/answers.md, Cost). LoRA has 4 images a step instead of 16, whose prefixes it cannot share;
# its ratio was measured when these lengths were set, and no log holds it.
MAP_STEP, LORA_STEP, ASKING = 0.4, 1.36, 0.5
MAP_PER_JOINT = 1700 / 440
# Joint steps that take as long as the shipped recipe, without and with asking for evidence.
ALL_JOINT = 1 + MAP_STEP * MAP_PER_JOINT
ALL_ASKED = ALL_JOINT + ASKING * (1 + MAP_PER_JOINT)

NO_TEACHER = ("--teacher_weight", "0")
BOXES = (*NO_TEACHER, "--box_weight", "0.5", "--latent_learning_start", "0")
LORA = (
    *("--tune", "lora", "--use_latent_importance", "False", *NO_TEACHER),
    *("--lora_rank", "74", "--lora_alpha", "148", "--gap_share", "0"),
)
PUBLISHED = (
    *(*NO_TEACHER, "--encoder", "published", "--means", "head", "--renderer", "softmax"),
    *("--grid", "endpoint", "--phase", "prefill", "--prior_mix", "0"),
    *("--latent_repulsion_weight", "0", "--latent_free_bits", "0"),
)
POINTER = ("--sample_latent", "False", "--prior_mix", "1", "--latent_kl_weight", "0")
BOX_SEEDS = tuple(
    Variant(f"boxes-{seed}", "with true boxes instead of answers", BOXES, seed)
    for seed in (2, 0, 1)
)
UNIFORM_MAPS = Variant(
    "uniform-maps",
    "same size and time, every map uniform",
    ("--renderer", "uniform", *NO_TEACHER),
    methods=("vif",),
    has_map=False,
    joint_share=ALL_JOINT,
)


def _lora(name: str, text: str, joint_share: float) -> Variant:
    return Variant(
        name,
        text,
        LORA,
        methods=("plain",),
        has_map=False,
        joint_share=joint_share / LORA_STEP,
        image_share=0.25,
        tunes_model=True,
    )


# The first of each list is what the others are compared with.
CONTROLS = (
    Variant("shipped", "answers alone: the shipped adapter", is_shipped=True),
    *BOX_SEEDS,
    UNIFORM_MAPS,
    _lora("lora", "LoRA of as many parameters, as much time, no injection", ALL_JOINT),
)
MATCHED = tuple(
    replace(variant, folder="matched", share=MATCHED_SHARE)
    for variant in (
        *(Variant(f"seed-{n}", "answers alone", seed=n) for n in (2, 0, 1)),
        *BOX_SEEDS,
        Variant("pointer", "answers alone, no latent: a deterministic pointer", POINTER, 2),
        Variant(
            "published",
            "the published form with the published objective",
            PUBLISHED,
            seed=2,
            has_map=False,
            joint_share=ALL_JOINT,
        ),
        UNIFORM_MAPS,
        _lora("lora", "LoRA, the time of a training with boxes", ALL_JOINT),
        _lora("lora-asked", "LoRA, the time of answers alone with its asking", ALL_ASKED),
    )
)


def _ablation(name: str, text: str, *flags: str, has_map: bool = True) -> Variant:
    asked = {"split": "validation", "methods": ("vif",)}
    return Variant(name, text, flags, has_map=has_map, share=ABLATION_SHARE, **asked)


ABLATIONS = (
    _ablation("reference", "the shipped recipe, on validation"),
    _ablation("k-1", "K = 1", "--latent_num_components", "1"),
    _ablation("k-4", "K = 4", "--latent_num_components", "4"),
    _ablation("k-16", "K = 16", "--latent_num_components", "16"),
    _ablation("alpha-25", "alpha = 0.25", "--latent_bias_alpha", "0.25"),
    _ablation("alpha-80", "alpha = 0.8", "--latent_bias_alpha", "0.8"),
    _ablation("inject-4", "injection from layer 4", "--latent_apply_start", "4"),
    _ablation(
        "learn-3",
        "read from layers 2 to 3, injection from 4",
        *("--latent_learning_start", "2", "--latent_learning_end", "3"),
        *("--latent_apply_start", "4"),
    ),
    _ablation("softmax", "the published renderer", "--renderer", "softmax"),
    _ablation("prefill", "prompt rows only, as published", "--phase", "prefill"),
    _ablation("prior-0", "answers with posterior samples only", "--prior_mix", "0"),
    _ablation("prior-1", "answers with prior samples only", "--prior_mix", "1"),
)
