"""Scenes as files: PNG images and LLaVA-format JSON, with the true boxes."""

from __future__ import annotations

import json
from pathlib import Path

from vif.scenes.draw import draw_scene
from vif.scenes.questions import Question, ask_scene
from vif.scenes.text import unrelated_text

QUESTIONS_PER_SCENE = 5


def export_scenes(folder: Path, split: str, num_scenes: int, seed: int = 0, text: int = 0) -> Path:
    """Writes scenes for other programs to train or test on.

    Args:
        folder: Gets ``images/*.png`` and ``<split>.json``.
        split: One of `SPLITS`.
        num_scenes: How many.
        seed: Of the first scene; the same arguments write the same files.
        text: Tokens of unrelated text before every question.

    Returns:
        Path of the JSON file: a list of ``{id, image, conversations, questions}``, where
        ``conversations`` is what LLaVA trains on and ``questions`` adds family, group and boxes
        (x0, y0, x1, y1) in pixels, one entry per turn.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for number in range(seed, seed + num_scenes):
        scene = draw_scene(number, split)
        name = f"images/{split}-{number:06d}.png"
        scene.image.save(folder / name)
        questions = ask_scene(scene, number, QUESTIONS_PER_SCENE)
        turns = []
        for k, question in enumerate(questions):
            before = unrelated_text(number * QUESTIONS_PER_SCENE + k, text)
            asked = f"{before} {question.text}".strip()
            image = "<image>\n" if k == 0 else ""
            turns.append({"from": "human", "value": image + asked})
            turns.append({"from": "gpt", "value": question.answer})
        records.append(
            {
                "id": f"{split}-{number:06d}",
                "image": name,
                "conversations": turns,
                "questions": [_facts(question) for question in questions],
            }
        )
    path = folder / f"{split}.json"
    path.write_text(json.dumps(records, indent=1) + "\n")
    return path


def _facts(question: Question) -> dict:
    boxes = [[round(v, 2) for v in box] for box in question.boxes]
    return {"family": question.family, "group": question.group, "boxes": boxes}
