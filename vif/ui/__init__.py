"""The page: the only code, with ``app.py``, that imports Gradio."""

from vif.ui.page import build_demo
from vif.ui.theme import launch_options

__all__ = ["build_demo", "launch_options"]
