r"""Evaluates any method on the tasks of lmms-eval (github.com/EvolvingLMMs-Lab/lmms-eval).

Once, in the environment of lmms-eval, so that it finds the model ``vif_lens`` by the entry point
in ``pyproject.toml`` (its supported way to add models from outside, read in version 0.7.3)::

    pip install -e . lmms-eval

and then, one line per method to compare::

    lmms-eval --model vif_lens --tasks pope --batch_size 8 \
        --model_args pretrained=llava-hf/llava-1.5-7b-hf,method=plain
    lmms-eval --model vif_lens --tasks pope --batch_size 8 \
        --model_args pretrained=llava-hf/llava-1.5-7b-hf,method=pai,pai.alpha=0.3

``--model_args`` takes ``pretrained``, ``method``, ``adapter``, ``dtype``, ``quantization``, the
settings ``alpha``, ``learning=3-4``, ``injection=5-7``, ``stride``, ``samples``, ``seed`` and
``phase``, and every method's own as ``method.option=value``. Tasks that generate and tasks that
compare likelihoods run, greedily, on one process or with ``accelerate launch`` on several. A
question without an image is answered by the language model alone, one with a video or several
images is skipped; how many there were is said at the end. ``vif benchmarks`` runs many tasks.
"""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """What lmms-eval reads of the entry point: the model's name and where its class is."""
    from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingImports]

    return ModelManifest("vif_lens", simple_class_path="vif.lmms_eval.model.VIFLens")
