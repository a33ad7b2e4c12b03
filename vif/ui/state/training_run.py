"""A training run, recorded step by step: what `training` writes with ``--trace_steps``.

Independent of Gradio, models and training itself; reads ``index.json`` and traces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vif.draw import render
from vif.errors import InputError
from vif.inputs.images import open_image
from vif.trace import Trace
from vif.ui.state.form import Truth
from vif.ui.state.result import MAP_SIDE, Result

INDEX = "index.json"
_TRACED = ("plain", "vif")


@dataclass(frozen=True)
class TrainingRun:
    """The index of a traces folder.

    Attributes:
        folder: The folder.
        questions: Dictionaries with ``question``, ``answer`` and ``image``.
        steps: Training steps, ascending.
        files: For each step, paths by method and question.
        trained_on: What the adapter is trained on, in words; "" where the index does not say.
    """

    folder: Path
    questions: tuple[dict[str, Any], ...]
    steps: tuple[int, ...]
    files: tuple[dict[str, list[str]], ...]
    trained_on: str = ""

    @classmethod
    def read(cls, folder: str | Path) -> TrainingRun:
        """Reads the index file of a training run.

        Raises:
            InputError: If there is none, or it is something else.
        """
        if not str(folder or "").strip():
            raise InputError("No folder is named: type the traces folder of a training run.")
        path = Path(str(folder).strip()).expanduser() / INDEX
        if not path.is_file():
            raise InputError(
                f"{path.parent} contains no {INDEX}: give the traces folder that a training run "
                "with --trace_steps wrote."
            )
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            steps = sorted(data["steps"], key=lambda entry: int(entry["step"]))
            questions = tuple(
                {"question": str(q["question"]), "answer": str(q["answer"]), "image": q["image"]}
                for q in data["questions"]
            )
            found = cls(
                path.parent,
                questions,
                tuple(int(entry["step"]) for entry in steps),
                tuple(dict(entry["traces"]) for entry in steps),
                str(data.get("trained_on", "")),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} is not the index of the traces of a training run.") from error
        if not found.steps or not found.questions:
            raise InputError(
                f"{path} lists no steps or no questions yet: train longer, then open it."
            )
        return found

    def frames(self, question: int) -> list[Result]:
        """Reads one question at every step, without the attention rows, which are large.

        Args:
            question: Index of the question.

        Raises:
            InputError: If a file is missing, damaged, or lies outside the folder.
        """
        asked = self.questions[question]
        image = open_image(self._inside(asked["image"]))
        picture = render.shrink(image, MAP_SIDE)
        truth = Truth(asked["question"], asked["answer"])
        return [Result(picture, self._traces(files, question), truth) for files in self.files]

    def _traces(self, files: dict[str, list[str]], question: int) -> dict[str, Trace]:
        """The answers to a question at one step."""
        found = {}
        for name in (name for name in _TRACED if name in files):
            path = self._inside(files[name][question])
            try:
                trace = Trace.load(path)
            except (OSError, ValueError, KeyError) as error:
                raise InputError(
                    f"{path} is missing or damaged: train again, or remove it."
                ) from error
            found[name] = replace(trace, rows=trace.rows[:1, :, :, :0])
        return found

    def _inside(self, name: str) -> Path:
        """A file of the folder."""
        path = (self.folder / str(name)).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise InputError(f"{self.folder / INDEX} names {name}, which lies outside its folder.")
        return path


def highest_weight(frames: list[Result], index: int) -> float:
    """Returns the largest weight of the maps of all steps, so that they share one scale.

    Args:
        frames: One question at every step.
        index: Which injection layer, as a position in the list.
    """
    maps = [mixtures[index].map for frame in frames for mixtures in frame.injecting.values()]
    return float(max((np.max(values) for values in maps), default=0.0))
