"""Scenes as files: PNG images and LLaVA-format JSON, with the true boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from vif.scenes.ambiguous import ask_ambiguous
from vif.scenes.draw import draw_scene
from vif.scenes.questions import SceneQuestion, ask_scene
from vif.scenes.text import unrelated_text

QUESTIONS_PER_SCENE = 5


@dataclass(frozen=True)
class ExportOptions:
    """Questions about a scene, and the text before them.

    Attributes:
        questions: Questions per scene.
        weights: Relative frequency of question families, 1 where nothing is given.
        text: Tokens of unrelated text before a question.
        least_text: With it, the length is drawn uniformly from here to `text`.
        text_share: Share of the questions that have such text.
        openings: Phrases a person may begin with ("please tell me:").
        opening_share: Share of the questions that begin with one.
        apart: Every question is a record of its own, so that none sees another's answer; otherwise
            those of a scene are the turns of one conversation.
        ambiguous: Most further questions per scene that two places answer, one of them given; see
            `vif.scenes.ambiguous`.
    """

    questions: int = QUESTIONS_PER_SCENE
    weights: Mapping[str, float] = field(default_factory=dict)
    text: int = 0
    least_text: int | None = None
    text_share: float = 1.0
    openings: tuple[str, ...] = ()
    opening_share: float = 0.0
    apart: bool = False
    ambiguous: int = 0


def export_scenes(
    folder: Path,
    split: str,
    num_scenes: int,
    seed: int = 0,
    text: int = 0,
    options: ExportOptions | None = None,
    workers: int = 1,
) -> Path:
    """Writes scenes for other programs to train or test on.

    Args:
        folder: Gets ``images/*.png`` and ``<split>.json``.
        split: One of `SPLITS`.
        num_scenes: How many.
        seed: Of the first scene; the same arguments write the same files.
        text: Tokens of unrelated text before every question; `options` have their own.
        options: What is asked.
        workers: Processes that draw.

    Returns:
        Path of the JSON file: a list of ``{id, image, conversations, questions}``, where
        ``conversations`` is what LLaVA trains on and ``questions`` adds family, group, boxes
        (x0, y0, x1, y1) in pixels and the unrelated text (``context``), one entry per turn.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    write = partial(_export_scene, folder, split, options or ExportOptions(text=text))
    numbers = range(seed, seed + num_scenes)
    if workers > 1:
        with get_context("fork").Pool(workers) as pool:
            found = pool.map(write, numbers, chunksize=64)
    else:
        found = [write(number) for number in numbers]
    path = folder / f"{split}.json"
    lines = ",\n".join(json.dumps(record) for records in found for record in records)
    path.write_text(f"[\n{lines}\n]\n")
    return path


def _export_scene(folder: Path, split: str, options: ExportOptions, number: int) -> list[dict]:
    """Draws one scene and returns its records."""
    scene = draw_scene(number, split)
    name = f"images/{split}-{number:06d}.png"
    scene.image.save(folder / name)
    questions = ask_scene(scene, number, options.questions, dict(options.weights))
    questions += [given for given, _ in ask_ambiguous(scene, number, options.ambiguous)]
    turns, facts = [], []
    for k, question in enumerate(questions):
        before, asked = _word(options, question, number, k)
        image = "<image>\n" if k == 0 or options.apart else ""
        turns.append({"from": "human", "value": image + f"{before} {asked}".strip()})
        turns.append({"from": "gpt", "value": question.answer})
        facts.append(_facts(question, before))
    name_of = f"{split}-{number:06d}"
    parts = [slice(k, k + 1) for k in range(len(facts))] if options.apart else [slice(None)]
    return [
        {
            "id": f"{name_of}-{k}" if options.apart else name_of,
            "image": name,
            "conversations": turns[2 * k : 2 * k + 2] if options.apart else turns,
            "questions": facts[part],
        }
        for k, part in enumerate(parts)
    ]


def _word(options: ExportOptions, question: SceneQuestion, number: int, k: int) -> tuple[str, str]:
    """The unrelated text before a question, and the question as asked."""
    rng = np.random.default_rng([number, k, 13])
    length = options.text
    if options.least_text is not None:
        length = int(rng.integers(options.least_text, options.text + 1))
    if rng.random() >= options.text_share:
        length = 0
    before = unrelated_text(number * options.questions + k, length)
    if rng.random() < options.opening_share:
        return before, f"{options.openings[rng.integers(len(options.openings))]} {question.text}"
    return before, question.text


def _facts(question: SceneQuestion, context: str) -> dict:
    boxes = [[round(v, 2) for v in box] for box in question.boxes]
    return {
        "family": question.family,
        "group": question.group,
        "boxes": boxes,
        "context": context,
    }
