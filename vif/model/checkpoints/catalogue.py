"""Models to start with: family, size, licence, and the hardware they need."""

from __future__ import annotations

from dataclasses import dataclass

# Bytes of one number as a GPU and as a CPU reads it.
_HALF, _FULL = 2, 4
# Keys, values and what a pass needs besides the weights, as a share of them.
_OVERHEAD = 1.25
# Families whose vision tower has a CLS token, which PAINT and FlowCut read.
_WITH_CLS = ("llava", "llava_next", "vipllava")
# Families whose vision tower is a plain stack of layers, which VFlowOpt reads.
_PLAIN_TOWER = (*_WITH_CLS, "gemma3", "llava_onevision", "paligemma")
# Families some of whose layers have no attention: cutting attention does not hide their image.
_HYBRID = ("lfm2_vl", "qwen3_5", "qwen3_5_moe")


@dataclass(frozen=True)
class ListedModel:
    """One model of the list.

    Attributes:
        name: On the Hub.
        family: Its ``model_type``.
        billions: Parameters, in billions, rounded; before a download its exact size is told.
        licence: As its card names it.
        gated: Whether its terms have to be accepted on the Hub first.
    """

    name: str
    family: str
    billions: float
    licence: str
    gated: bool = False

    @property
    def download(self) -> float:
        """Gigabytes to download, in half precision."""
        return self.billions * _HALF

    def fits(self, gigabytes: float, on_cpu: bool = False) -> bool:
        """Whether it runs in so much memory, in half precision or, on a CPU, in full."""
        return self.billions * (_FULL if on_cpu else _HALF) * _OVERHEAD <= gigabytes

    @property
    def lacks(self) -> tuple[str, ...]:
        """Methods and probes that do not work with it."""
        cls = () if self.family in _WITH_CLS else ("paint", "flowcut")
        tower = () if self.family in _PLAIN_TOWER else ("vflowopt",)
        probes = ("exits", "deletion") if self.family in _HYBRID else ()
        return (*cls, *tower, *probes)


# What a Space offers besides the bundled model: the first is loaded at the start where there is a
# GPU, the second is in the menu where there is none.
GPU_MODEL, CPU_MODEL = "Qwen/Qwen3-VL-2B-Instruct", "HuggingFaceTB/SmolVLM-256M-Instruct"

CATALOGUE = (
    ListedModel("HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3", 0.26, "apache-2.0"),
    ListedModel("HuggingFaceTB/SmolVLM-500M-Instruct", "idefics3", 0.51, "apache-2.0"),
    ListedModel("llava-hf/llava-onevision-qwen2-0.5b-ov-hf", "llava_onevision", 0.9, "apache-2.0"),
    ListedModel("Qwen/Qwen3-VL-2B-Instruct", "qwen3_vl", 2.1, "apache-2.0"),
    ListedModel("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl", 2.2, "apache-2.0"),
    ListedModel("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "smolvlm", 2.2, "apache-2.0"),
    ListedModel("google/paligemma2-3b-mix-224", "paligemma", 3.0, "gemma", gated=True),
    ListedModel("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", 3.8, "qwen-research"),
    ListedModel("google/gemma-3-4b-it", "gemma3", 4.3, "gemma", gated=True),
    ListedModel("Qwen/Qwen3.5-4B", "qwen3_5", 4.7, "apache-2.0"),
    ListedModel("llava-hf/llava-1.5-7b-hf", "llava", 7.1, "llama2"),
    ListedModel("llava-hf/llava-v1.6-mistral-7b-hf", "llava_next", 7.6, "apache-2.0"),
    ListedModel("google/gemma-4-E4B-it", "gemma4", 8.0, "apache-2.0"),
    ListedModel("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", 8.3, "apache-2.0"),
    ListedModel(
        "mistralai/Mistral-Small-3.1-24B-Instruct-2503", "mistral3", 24.0, "apache-2.0", gated=True
    ),
)
