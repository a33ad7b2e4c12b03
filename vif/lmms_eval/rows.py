"""The rows of the results pages of VIF and AIF, as tasks of lmms-eval. Data only.

Published figures are of LLaVA-1.5-7B: VIF's from its results page, which does not name its base
model; AIF's from its paper's table. Numbers of questions are those of the data sets;
docs/benchmarks.md says which of them were compared with public sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One published benchmark as a task of lmms-eval.

    Attributes:
        name: On the command line.
        label: For a person.
        task: Name in lmms-eval 0.7.
        metric: Its metric.
        questions: How many there are.
        scale: What the metric is multiplied by to be comparable with the published figure.
        published: Figures by source: ``"LLaVA-1.5-7B"``, ``"VIF"``, ``"AIF"``.
        differs: How this protocol differs from the published one; empty if it is not known to.
        group: ``"vif"`` or ``"aif"``, by whose table it is in.
        judged: Whether lmms-eval asks another model, behind OpenAI's interface, for the scores.
    """

    name: str
    label: str
    task: str
    metric: str
    questions: int
    scale: float = 100
    published: dict[str, float] = field(default_factory=dict)
    differs: str = ""
    group: str = "vif"
    judged: bool = False


BASE, VIF, AIF = "LLaVA-1.5-7B", "VIF", "AIF"
ROWS = (
    Row(
        "vqav2", "VQAv2", "vqav2_val", "exact_match", 214_354, 100, {BASE: 78.5, VIF: 79.7},
        "validation, scored here; published is test-dev, scored by the server",
    ),
    Row("gqa", "GQA", "gqa", "exact_match", 12_578, 100, {BASE: 62.0, VIF: 62.8}),
    Row(
        "scienceqa", "ScienceQA (image)", "scienceqa_img", "exact_match", 2_017, 100,
        {BASE: 66.8, VIF: 73.5},
    ),
    Row(
        "textvqa", "TextVQA", "textvqa_val", "exact_match", 5_000, 100, {BASE: 58.2, VIF: 59.9},
        "without OCR tokens in the prompt; LLaVA's own 58.2 has them, AIF's base of 47.8 has not",
    ),
    Row("ai2d", "AI2D", "ai2d", "exact_match", 3_088, 100, {VIF: 64.0}),
    Row(
        "seedbench", "SEED-Bench (image)", "seedbench", "seed_image", 17_990, 100,
        {BASE: 66.1, VIF: 70.8},
        "the task's 3,757 questions about videos are skipped and not part of seed_image",
    ),
    Row(
        "mme", "MME (perception)", "mme", "mme_perception_score", 2_374, 1,
        {BASE: 1510.7, VIF: 1550.0},
    ),
    Row(
        "llavabench", "LLaVA-Bench", "llava_in_the_wild", "gpt_eval_llava_all", 60, 1, {VIF: 66.4},
        "judged by the model that lmms-eval calls, not by the one of 2023", judged=True,
    ),
    Row(
        "refcoco-testA", "RefCOCO testA", "refcoco_bbox_rec_testA", "refcoco_ACC@0.5", 5_657, 100,
        {}, "asks for parts of the image; 'vif bench --data' reads each family's own boxes",
    ),
    Row(
        "refcoco-testB", "RefCOCO testB", "refcoco_bbox_rec_testB", "refcoco_ACC@0.5", 5_095, 100,
        {}, "as testA",
    ),
    Row(
        "vstar", "V*", "vstar_bench", "vstar_overall_acc", 191, 1, {BASE: 42.4, AIF: 50.3},
        "lmms-eval's prompt; AIF uses ViCrop's", "aif",
    ),
    Row(
        "realworldqa", "RealWorldQA", "realworldqa", "exact_match", 765, 100,
        {BASE: 55.6, AIF: 60.5}, "lmms-eval's prompt; AIF uses ViCrop's", "aif",
    ),
    Row(
        "mmstar", "MMStar", "mmstar", "average", 1_500, 100, {BASE: 33.1, AIF: 39.5},
        "lmms-eval's prompt; AIF uses ViCrop's", "aif",
    ),
    Row(
        "pope", "POPE", "pope", "pope_accuracy", 9_000, 100, {BASE: 85.4, AIF: 88.7},
        "AIF does not say whether its figure is accuracy or F1; accuracy here", "aif",
    ),
    Row(
        "countbench", "CountBench", "countbench", "acc", 491, 100, {BASE: 47.0, AIF: 50.1},
        "the data set CountBenchQA", "aif",
    ),
)  # fmt: skip
SOURCES = (BASE, VIF, AIF)
