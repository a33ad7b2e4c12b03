"""The model class that lmms-eval loads; it must be installed to import this."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

from lmms_eval.api.model import lmms  # pyright: ignore[reportMissingImports]
from tqdm import tqdm

from vif.errors import InputError
from vif.lmms_eval.asking import OTHER, TEXT, Asker, TaskItem
from vif.measure.processes import Processes
from vif.session import load
from vif.settings import Range, Settings

RANGES, NUMBERS = ("learning", "injection"), ("alpha", "stride", "samples", "seed", "phase")
WHOLE = ("stride", "samples", "seed")
_log = logging.getLogger(__name__)


class VIFLens(lmms):
    """Any method on any model of VIF Lens; see `vif.lmms_eval` for how to call it."""

    is_simple = True

    def __init__(
        self,
        pretrained: str,
        method: str = "vif",
        adapter: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        quantization: str | None = None,
        image_aspect_ratio: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,  # noqa: ARG002 only of use to "auto"
        **settings: Any,
    ) -> None:
        """Loads the model.

        Args:
            pretrained: Folder or Hub name of an image-text-to-text model.
            method: Name of a method.
            adapter: Folder or Hub name of a VIF adapter, for methods that need one.
            device: E.g. ``"cpu"``; a GPU if there is one by default.
            dtype: E.g. ``"bfloat16"``.
            quantization: ``"8bit"`` or ``"4bit"``.
            image_aspect_ratio: ``"pad"`` or ``"crop"``, see `vif.load`.
            batch_size: Questions per batch.
            max_batch_size: Not used.
            **settings: Those of `Settings`, ranges as ``"3-4"``, and ``method.option``.

        Raises:
            InputError: If anything given cannot be used.
        """
        super().__init__()
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise InputError(f"--batch_size is {batch_size!r}, expected a number from 1.")
        # lmms-eval shares out the questions by itself; here each process gets its device.
        processes = Processes.find()
        self._rank, self._world_size = processes.index, processes.number
        device = device if processes.device is None else processes.device
        given = (pretrained, adapter, device, dtype, quantization, image_aspect_ratio)
        self.session = load(*given)
        # lmms-eval gathers the numbers of questions there.
        self.device = self.session.backbone.device
        chosen = chosen_settings(settings, self.session.defaults)
        self.asker = Asker(self.session, method, chosen, int(batch_size))

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answers, cut at the task's ``until``."""
        with tqdm(total=len(requests), desc="Model responding") as bar:
            found = self.asker.answers(map(self._generation, requests), bar.update)
        self._say_counts()
        return found

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Log-probability of every continuation, and whether it is the greedy answer."""
        with tqdm(total=len(requests), desc="Model responding") as bar:
            found = self.asker.likelihoods(map(self._continuation, requests), bar.update)
        self._say_counts()
        return found

    def _say_counts(self) -> None:
        """Logs how many questions no method looked at; lmms-eval's results do not show it."""
        if text := self.asker.counts.pop(TEXT, 0):
            _log.warning("%d questions have no image: answered without a method.", text)
        if other := self.asker.counts.pop(OTHER, 0):
            _log.warning("%d questions have a video or several images: skipped.", other)

    def _generation(self, request: Any) -> TaskItem:
        text, options, doc_to_visual, doc_id, task, split = request.args
        visuals = doc_to_visual(self.task_dict[task][split][doc_id])
        return TaskItem(f"{task}[{doc_id}]", visuals or [], text, options)

    def _continuation(self, request: Any) -> TaskItem:
        text, target, doc_to_visual, doc_id, task, split = request.args
        document = self.task_dict[task][split][doc_id]
        target = target if isinstance(target, str) else target(document)
        return TaskItem(f"{task}[{doc_id}]", doc_to_visual(document) or [], text, target=target)

    def generate_until_multi_round(self, requests: Sequence[Any]) -> NoReturn:
        """Refused: a method steers one question about one image."""
        raise NotImplementedError(
            "VIF Lens answers single questions, not tasks of several rounds: choose a task "
            "with output_type generate_until or loglikelihood."
        )


def chosen_settings(given: dict[str, Any], defaults: Settings) -> Settings:
    """Settings out of ``--model_args``.

    Raises:
        InputError: If one is unknown or a range cannot be read.
    """
    changed: dict[str, Any] = {}
    options: dict[str, dict[str, float]] = {}
    for name, value in given.items():
        method, dot, option = name.partition(".")
        if dot:
            options.setdefault(method, {})[option] = _number(name, value)
        elif name in RANGES:
            changed[name] = _range(name, value)
        elif name in NUMBERS:
            changed[name] = value if name == "phase" else _number(name, value)
        else:
            expected = ", ".join((*RANGES, *NUMBERS, "method.option"))
            raise InputError(f"--model_args has no setting {name!r}: expected one of {expected}.")
    return replace(defaults, **changed, options=options or defaults.options)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} is {value!r}, expected a number.")
    if name in WHOLE and not isinstance(value, int):
        raise InputError(f"{name} is {value!r}, expected a whole number.")
    return value


def _range(name: str, value: Any) -> Range:
    first, _, last = str(value).partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        raise InputError(f"{name} is {value!r}, expected first and last layer, for example 5-7.")
    return int(first), int(last)
