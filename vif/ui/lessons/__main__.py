"""Prints the sheet: python -m vif.ui.lessons > docs/lessons.md."""

import sys

from vif.ui.lessons.steps import sheet

sys.stdout.write(sheet())
