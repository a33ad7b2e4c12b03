"""Lessons: eight steps through attenuation and VIF, one control each. Independent of Gradio."""

from vif.ui.lessons.reveal import prepare, reveal
from vif.ui.lessons.room import Classroom, Reveal
from vif.ui.lessons.steps import STEPS, Step, sheet

__all__ = ["STEPS", "Classroom", "Reveal", "Step", "prepare", "reveal", "sheet"]
