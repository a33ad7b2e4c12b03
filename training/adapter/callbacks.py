"""Files written during training: the log, and traces of a few fixed questions."""

from __future__ import annotations

import copy
import json
import math
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from training.adapter.arguments import output_of
from training.adapter.model import VIFModel
from training.adapter.tuning import gathered
from training.data.encoding import Conversations
from training.data.records import Turn
from vif.inputs.images import open_image
from vif.inputs.text import MAX_CHARACTERS
from vif.question import Question
from vif.scenes import is_correct
from vif.session import Session

TRACED = ("plain", "vif")
LOOKED_AT = 40  # images that traced questions are chosen from


class LogFile(TrainerCallback):
    """Every line of the log in ``<output_dir>/log.jsonl``."""

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Removes what a killed run logged after its last checkpoint."""
        path = output_of(args) / "log.jsonl"
        if state.is_world_process_zero and path.exists():
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if _step(line) <= state.global_step))

    @override
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Appends the logged values to ``log.jsonl``."""
        if state.is_world_process_zero and logs is not None:
            write_line(args, {"step": state.global_step, **logs})


def _step(line: str) -> float:
    """Step of a line of the log; infinite for one that was cut short."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf


def write_line(args: TrainingArguments, line: dict[str, Any]) -> None:
    """Appends a line to the log."""
    path = output_of(args) / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


class Tracer(TrainerCallback):
    """Asks a few fixed questions every so often and keeps the traces.

    ``<output_dir>/traces/index.json`` holds ``trained_on``, what the adapter is trained on in
    words, ``questions``, a list of ``{question, context, answer, image}``, and ``steps``, a list of
    ``{step, traces}`` where ``traces`` has a file per question for each of ``"plain"`` and
    ``"vif"``; all paths are relative to the index.
    """

    def __init__(
        self, model: VIFModel, data: Conversations, steps: int, questions: int, folder: Path
    ) -> None:
        """Every `steps` steps, `questions` of `data` that the plain model gets wrong, if it does.

        What it gets right anyway shows nothing of what is learned.
        """
        self.model, self.steps, self.folder = model, steps, folder
        self.data, self.number = data, questions
        self.questions: list[tuple[Path, Turn]] = []

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Traces of the adapter before training."""
        self._write(state)

    @override
    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Records the fixed questions every ``trace_steps`` steps."""
        if state.global_step % self.steps == 0:
            self._write(state)

    def _write(self, state: TrainerState) -> None:
        with gathered(self.model):
            if state.is_world_process_zero:
                self._ask(state.global_step)

    def _ask(self, step: int) -> None:
        place = self.folder / f"step-{step:06d}"
        place.mkdir(parents=True, exist_ok=True)
        was_training = self.model.training
        self.model.eval()
        # A session makes its adapter its own, and computes with it in full precision.
        session = Session(self.model.backbone, copy.deepcopy(self.model.adapter).float())
        methods = TRACED if self.model.has_adapter else TRACED[:1]
        self.questions = self.questions or _choose(self.data, self.number, session)
        files: dict[str, list[str]] = {name: [] for name in methods}
        for i, (path, turn) in enumerate(self.questions):
            found = session.ask(open_image(path), turn.question, methods, context=turn.context)
            for name, trace in found.items():
                trace.save(place / f"{i}-{name}.npz")
                files[name].append(f"{place.name}/{i}-{name}.npz")
        self.model.train(was_training)
        self._index(step, files)

    def _index(self, step: int, files: dict[str, list[str]]) -> None:
        path = self.folder / "index.json"
        steps = json.loads(path.read_text())["steps"] if path.exists() else []
        steps = [entry for entry in steps if entry["step"] < step]
        questions = []
        for i, (image, turn) in enumerate(self.questions):
            name = f"image-{i}{image.suffix}"
            shutil.copyfile(image, self.folder / name)
            said = {"question": turn.question, "context": turn.context, "answer": turn.answer}
            questions.append(said | {"image": name})
        content = {
            "trained_on": self.model.adapter.config.trained_on if self.model.has_adapter else "",
            "questions": questions,
            "steps": [*steps, {"step": step, "traces": files}],
        }
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(path)


def _choose(data: Conversations, number: int, session: Session) -> list[tuple[Path, Turn]]:
    """Of the first question about each of the first images, those that are answered wrongly first.

    The plain model stays as it is while an adapter is trained, so a run that is resumed chooses the
    same.
    """
    wrong, right = [], []
    for index in range(min(len(data), LOOKED_AT)):
        record = data.records.read(index)[0]
        turn = record.turns[0]
        if record.image is None or len(turn.question) > MAX_CHARACTERS:
            continue
        path = data.records.image_folder / record.image
        asked = Question(open_image(path), turn.question, turn.context)
        trace = session.ask_batch([asked], ["plain"])["plain"][0]
        (right if is_correct(trace.answer, turn.answer.lower()) else wrong).append((path, turn))
        if len(wrong) == number:
            break
    return [*wrong, *right][:number]
