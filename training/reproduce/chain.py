"""Reproduces the tables of README and docs from scratch. To resume, run the same command again.

    python -m training.reproduce            # scenes, bundled model, adapter, benchmark, tables
    python -m training.reproduce --all      # then seeds, controls and ablations
    python -m training.reproduce --smoke    # the same chain at toy size; touches no shipped file

A stage that has finished is not run again, but for the report; one that was stopped goes on from
its last checkpoint, and its seconds are those of its last start.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from training.reproduce.make_report import PAGES
from training.reproduce.stages import Stage, run
from training.reproduce.variants import ABLATIONS, CONTROLS, MATCHED, SEED, SHIPPED, Length, Variant

# Of the cores that this process may use, where the system says which.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
PROCESSES = min(2, CORES)
TEXTS = (64, 128, 256, 384)


@dataclass(frozen=True)
class Size:
    """The size of every stage.

    Attributes:
        pretraining: Flags of `training.pretrain`.
        scenes: Flags of `training.data.make_scenes`.
        map_steps: Steps of the adapter's map alone.
        joint_steps: Steps of map, gate and answers together.
        images: Images per step, over all processes.
        questions: Of the benchmark without text, with text, of all methods, and of variants.
        odd: Questions for the odd one out.
        places: Questions with one right place, and with two, that `vif uncertainty` asks.
        curves: Questions of the curves by layer.
        examples: Test questions that the page's examples are picked from.
        methods: Methods of the comparison.
    """

    pretraining: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ("--scenes", "16000")
    map_steps: int = SHIPPED.map_steps
    joint_steps: int = SHIPPED.joint_steps
    images: int = 16
    questions: tuple[int, int, int, int] = (2000, 600, 400, 1000)
    odd: int = 300
    places: tuple[int, int] = (300, 200)
    curves: int = 500
    examples: int = 400
    methods: tuple[str, ...] = ("all",)

    def shortened(self, length: Length) -> tuple[int, int]:
        """Map steps and joint steps of a variant at this size: at least one of each that it has."""
        pairs = (
            (length.map_steps, self.map_steps / SHIPPED.map_steps),
            (length.joint_steps, self.joint_steps / SHIPPED.joint_steps),
        )
        map_steps, joint_steps = (max(min(n, 1), round(n * share)) for n, share in pairs)
        return map_steps, joint_steps


SMOKE = Size(
    ("--steps", "3", "--tower-steps", "3", "--batch-size", "2", "--validation-batches", "1"),
    ("--scenes", "8", "--validation_scenes", "2", "--questions", "3", "--workers", "1"),
    map_steps=2,
    joint_steps=2,
    images=2,
    questions=(10, 5, 5, 5),
    odd=3,
    places=(3, 2),
    curves=5,
    examples=5,
    methods=("vif", "uniform"),
)


class Chain:
    """All stages, in the order in which they need each other."""

    def __init__(self, work: Path, assets: Path, pages: Path, size: Size) -> None:
        self.work, self.assets, self.pages, self.size = work, assets, pages, size
        self.model, self.adapter = work / "demo-vlm", work / "demo-vif"
        self.results, self.scenes = assets / "results", work / "scenes"

    def main(self) -> list[Stage]:
        """The bundled model, its adapter and the figures of README and docs."""
        model, adapter = str(self.model), str(self.adapter)
        first = ("--work", str(self.work / "pretrain"), "--output", model)
        return [
            Stage("pretrain", (*_parallel("pretrain"), *first, *self.size.pretraining)),
            Stage(
                "scenes",
                (
                    *_module("training.data.make_scenes"),
                    "--folder",
                    str(self.scenes),
                    *self.size.scenes,
                ),
            ),
            *self.train("demo-vif", self.size.map_steps, self.size.joint_steps, seed=SEED),
            self._bench("bench", model, adapter, self.size.questions[0]),
            self._bench("bench-text", model, adapter, self.size.questions[1], texts=TEXTS),
            self._bench(
                "methods",
                model,
                adapter,
                self.size.questions[2],
                ("--methods", *self.size.methods, "--controls"),
            ),
            self._bench("odd", model, adapter, self.size.odd, ("--families", "odd")),
            Stage("uncertainty", self._uncertainty(model, adapter)),
            Stage("attenuation", self._attenuation(model, adapter)),
            Stage(
                "install",
                (
                    *_module("training.reproduce.install"),
                    *(model, adapter, "--assets", str(self.assets)),
                    *("--questions", str(self.size.examples)),
                ),
            ),
        ]

    def _attenuation(self, model: str, adapter: str) -> tuple[str, ...]:
        """How much, and how well on target, every layer looks: the figure of docs/results.md."""
        shown = ("--methods", "plain", "vif", "--text", "0", "256", "--batch-size", "20")
        where = ("--out", str(self.results / "attenuation"), "--restart")
        return (
            *_module("vif"), "attenuation", "--model-path", model, "--adapter", adapter,
            "--n", str(self.size.curves), *shown, *where,
        )  # fmt: skip

    def _uncertainty(self, model: str, adapter: str) -> tuple[str, ...]:
        """Prior against posterior, and what samples say: the table of docs/results.md."""
        single, double = map(str, self.size.places)
        return (
            *_module("vif"), "uncertainty", "--model-path", model, "--adapter", adapter,
            "--n", single, "--ambiguous", double, "--samples", "8",
            "--json", str(self.results / "uncertainty.json"),
        )  # fmt: skip

    def variants(self, variants: tuple[Variant, ...]) -> list[Stage]:
        """Other adapters on the same model, each with its benchmark."""
        stages = []
        for variant in variants:
            folder = self.adapter if variant.is_shipped else self.work / variant.path
            if not variant.is_shipped:
                steps = self.size.shortened(variant.steps)
                given = variant.flags, variant.seed, variant.image_share
                stages += self.train(variant.path, *steps, *given)
            asked = ("--split", variant.split, "--methods", *variant.methods)
            model = str(folder / "lora") if variant.tunes_model else str(self.model)
            stages.append(
                self._bench(
                    f"variants/{variant.path}",
                    model,
                    None if variant.tunes_model else str(folder),
                    self.size.questions[3],
                    asked,
                )
            )
        return stages

    def train(
        self,
        name: str,
        map_steps: int,
        joint_steps: int,
        flags: tuple[str, ...] = (),
        seed: int = 0,
        image_share: float = 1.0,
    ) -> list[Stage]:
        """An adapter: its map first, then map, gate and answers together."""
        each = str(max(1, round(image_share * self.size.images) // PROCESSES))
        validation = ",".join(
            str(self.scenes / f"{name}.json") for name in ("validation", "validation-text")
        )
        shared = (
            *_parallel("train_vif"),
            *("--model_name_or_path", str(self.model)),
            *("--data_path", str(self.scenes / "train.json")),
            *("--eval_data_path", validation),
            *("--per_device_train_batch_size", each, "--matrix_optimizer", "muon"),
            # Every seed and variant asks the same questions of the same model: once is enough.
            *("--teacher_weight", "0.5", "--teacher_store", str(self.work / "evidence")),
            *("--latent_learning_start", "1", "--latent_learning_end", "1"),
            *("--latent_kl_weight", "0.2", "--latent_free_bits", "0.1"),
            *("--latent_repulsion_weight", "0.05", "--range_mix", "0.1"),
            *("--report_to", "none", "--logging_steps", "10", "--use_cpu", *precision()),
            *("--eval_strategy", "steps", "--save_steps", "150"),
        )
        final, started = self.work / name, self.work / f"{name}-map"
        stages = []
        if map_steps > 0:
            alone = (
                *("--map_steps", str(map_steps), "--learning_rate", "3e-3"),
                # A map that knows little listens to the answer first (docs/answers.md, The loss).
                *("--adam_learning_rate", "1e-3", "--prior_mix", "0.75", "--teacher_prior", "0.1"),
                *_length(map_steps, seed),
                # What the page's training scrubber shows.
                *("--trace_steps", str(max(1, map_steps // 12)), "--trace_questions", "3"),
            )
            command = (*shared, *alone, *flags, "--output_dir", str(started))
            stages.append(Stage(f"{name}-map", command))
        joint = (
            *("--learning_rate", "1e-3", "--adam_learning_rate", "4e-4", "--gate_lr_scale", "6"),
            # Another seed than the map's: the scenes come in another order.
            *_length(joint_steps, seed + 100),
            *(("--weights", str(started)) if map_steps > 0 else ()),
        )
        stages.append(Stage(name, (*shared, *joint, *flags, "--output_dir", str(final))))
        return stages

    def report(self) -> Stage:
        """The tables, the chart, and the logs behind them."""
        where = ("--results", str(self.results), "--pages", str(self.pages))
        command = (*_module("training.reproduce.make_report"), *where, "--runs", str(self.work))
        return Stage("report", command, is_report=True)

    def _bench(
        self,
        name: str,
        model: str,
        adapter: str | None,
        number: int,
        flags: tuple[str, ...] = (),
        texts: tuple[int, ...] = (0,),
    ) -> Stage:
        chosen = ("--model-path", model, *(("--adapter", adapter) if adapter else ()))
        asked = ("--n", str(number), "--text", *map(str, texts))
        out = ("--json", str(self.results / f"{name}.json"))
        return Stage(name, (*_module("vif"), "bench", *chosen, *asked, *flags, *out))


def precision() -> tuple[str, ...]:
    """Flags for bfloat16 where the CPU has it; elsewhere it is emulated and takes four times."""
    return ("--bf16",) if torch.cpu._is_avx512_bf16_supported() else ("--bf16", "False")


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)


def _parallel(name: str) -> tuple[str, ...]:
    """A module of training under torchrun: processes of one thread beat one of several."""
    torchrun = ("torch.distributed.run", "--standalone", "--nproc_per_node", str(PROCESSES))
    return (sys.executable, "-m", *torchrun, "-m", f"training.{name}")


def _length(steps: int, seed: int) -> tuple[str, ...]:
    """Flags for the length of a training; it is validated twice."""
    shown = ("--warmup_steps", str(steps // 10), "--eval_steps", str(max(1, steps // 2)))
    return ("--max_steps", str(steps), *shown, "--seed", str(seed))


def main() -> None:
    """Parses the command line and runs the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("runs/reproduce"))
    parser.add_argument("--all", action="store_true", help="also run seeds, controls and ablations")
    parser.add_argument("--only", nargs="+", help="only these variants")
    parser.add_argument(
        "--smoke", action="store_true", help="toy size; the shipped files stay unchanged"
    )
    args = parser.parse_args()
    work, size = args.work, Size()
    assets, pages = Path("assets"), Path()
    if args.smoke:
        work, size = work.with_name(f"{work.name}-smoke"), SMOKE
        assets, pages = work / "assets", work
        for page in PAGES:
            (work / page).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(page, work / page)
    chain = Chain(work, assets, pages, size)
    stages = chain.main()
    if args.all or args.only:
        chosen = [
            v for v in (*CONTROLS, *MATCHED, *ABLATIONS) if not args.only or v.path in args.only
        ]
        stages += chain.variants(tuple(chosen))
    run([*stages, chain.report()], work)


if __name__ == "__main__":
    main()
