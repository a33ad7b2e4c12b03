"""What `make reproduce-all` trains besides the shipped adapter: seeds, controls, ablations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

# What a step takes, as a multiple of a joint step. The map and asking agree with the logs
# (docs/answers.md, Cost). LoRA has 4 images a step instead of 16, whose prefixes it cannot share;
# its ratio was measured when these lengths were set, and no log holds it.
MAP_STEP, LORA_STEP, ASKING = 0.4, 1.36, 0.5
EPOCH = 1000  # steps after which all evidence is stored


@dataclass(frozen=True)
class Length:
    """How long an adapter is trained.

    Attributes:
        map_steps: Steps of the map alone.
        joint_steps: Steps of map, gate and answers together.
    """

    map_steps: int
    joint_steps: int

    def as_joint_steps(self, asks: bool = False) -> float:
        """Joint steps that take as long, with the time that asking for evidence takes or without.

        Args:
            asks: Whether every question is asked for its evidence once.
        """
        steps = self.joint_steps + MAP_STEP * self.map_steps
        return steps + asks * ASKING * min(self.map_steps + self.joint_steps, EPOCH)


# Of the shipped adapter.
SEED = 2
SHIPPED = Length(3000, 220)
CONTROL_LENGTH = Length(1500, 450)
MATCHED_LENGTH = Length(340, 88)
ABLATION_LENGTH = Length(1500, 110)
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
        length: How long it is trained.
        has_map: Whether its map is trained first. Without, all steps are joint, in the same time.
        asks: Without: whether that time includes asking for evidence.
        step_time: Without: what one of its steps takes, as a multiple of a joint step.
        image_share: Of the shipped recipe's images per step.
        tunes_model: Whether the outcome is a model instead of an adapter.
        is_shipped: Whether it is the shipped adapter itself, which is only measured again.
        folder: Of its files, for variants whose names others have too.
    """

    name: str
    text: str
    flags: tuple[str, ...] = ()
    seed: int = 0
    split: str = "test"
    methods: tuple[str, ...] = COMPARED
    length: Length = SHIPPED
    has_map: bool = True
    asks: bool = False
    step_time: float = 1.0
    image_share: float = 1.0
    tunes_model: bool = False
    is_shipped: bool = False
    folder: str = ""

    @property
    def path(self) -> str:
        """Of its training and its results, without a suffix, among those of all variants."""
        return str(PurePosixPath(self.folder, self.name))

    @property
    def steps(self) -> Length:
        """What it is trained for: as `length`, or joint steps that take as long."""
        if self.has_map:
            return self.length
        return Length(0, round(self.length.as_joint_steps(self.asks) / self.step_time))


# Controls and short trainings keep the recipe that was used before the prior was tempered.
UNTEMPERED = ("--teacher_prior", "1", "--prior_mix", "0.5")
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
)


def _lora(name: str, text: str, asks: bool = False) -> Variant:
    return Variant(
        name,
        text,
        LORA,
        methods=("plain",),
        has_map=False,
        asks=asks,
        step_time=LORA_STEP,
        image_share=0.25,
        tunes_model=True,
    )


def _untempered(variant: Variant, length: Length, folder: str = "") -> Variant:
    flags = (*UNTEMPERED, *variant.flags)
    return replace(variant, length=length, flags=flags, folder=folder)


# The first of each list is what the others are compared with.
CONTROLS = (
    Variant("shipped", "answers alone: the shipped adapter", is_shipped=True),
    _untempered(
        Variant("untempered", "answers alone, not tempered: shipped before", seed=2),
        Length(1700, 440),
    ),
    *(_untempered(variant, CONTROL_LENGTH) for variant in BOX_SEEDS),
    _untempered(UNIFORM_MAPS, CONTROL_LENGTH),
    _untempered(
        _lora("lora", "LoRA of as many parameters, as much time, no injection"), CONTROL_LENGTH
    ),
)
MATCHED = tuple(
    _untempered(variant, MATCHED_LENGTH, "matched")
    for variant in (
        *(Variant(f"seed-{n}", "answers alone", seed=n) for n in (2, 0, 1)),
        Variant("tempered", "answers alone, tempered as shipped", ("--teacher_prior", "0.1"), 2),
        *BOX_SEEDS,
        Variant("pointer", "answers alone, no latent: a deterministic pointer", POINTER, 2),
        Variant(
            "published",
            "the published form with the published objective",
            PUBLISHED,
            seed=2,
            has_map=False,
        ),
        UNIFORM_MAPS,
        _lora("lora", "LoRA, the time of a training with boxes"),
        _lora("lora-asked", "LoRA, the time of answers alone with its asking", asks=True),
    )
)


def _ablation(name: str, text: str, *flags: str, has_map: bool = True) -> Variant:
    asked = {"split": "validation", "methods": ("vif",)}
    return Variant(name, text, flags, has_map=has_map, length=ABLATION_LENGTH, **asked)


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
