"""The generated benchmark: scenes, questions with true boxes, and unrelated text."""

from vif.scenes.boxes import ask_boxes
from vif.scenes.draw import Scene, draw_scene
from vif.scenes.questions import (
    GROUP_OF,
    GROUPS,
    RELATIONAL,
    SceneQuestion,
    ask_scene,
    is_correct,
)
from vif.scenes.text import TEXT_LENGTHS, unrelated_text
from vif.scenes.world import COLOURS, GLYPHS, IMAGE_SIZE, SHAPES, SPLITS, SceneObject

__all__ = [
    "COLOURS",
    "GLYPHS",
    "GROUPS",
    "GROUP_OF",
    "IMAGE_SIZE",
    "RELATIONAL",
    "SHAPES",
    "SPLITS",
    "TEXT_LENGTHS",
    "Scene",
    "SceneObject",
    "SceneQuestion",
    "ask_boxes",
    "ask_scene",
    "draw_scene",
    "is_correct",
    "unrelated_text",
]
