"""Probes: remove something, and observe how the answer changes.

Functions of a session and a question; each gives a frozen dataclass of arrays with `as_json`. All
but `read_internals` work without attention weights. They edit by `vif.model.edits`, many variants
in one pass (`vif.probes.prefix`). A file's `Probe` makes its function known to the command line
and the page, which list `PROBES`; see `vif.probes.protocol`.
"""

from __future__ import annotations

from vif.probes.deletion import DeletionCurve, deletion_curve, map_of
from vif.probes.exits import ExitSweep, exit_sweep
from vif.probes.heads import HeadDivergence, head_divergence
from vif.probes.inside import Internals, read_internals
from vif.probes.knockout import BOX_FLOWS, FLOWS, Knockout, knockout
from vif.probes.ladder import Ladder, attenuation_ladder
from vif.probes.lens import LogitLens, PatchLens, logit_lens, patch_lens
from vif.probes.protocol import PROBES
from vif.probes.sweep import Sweep

__all__ = [
    "BOX_FLOWS",
    "FLOWS",
    "PROBES",
    "DeletionCurve",
    "ExitSweep",
    "HeadDivergence",
    "Internals",
    "Knockout",
    "Ladder",
    "LogitLens",
    "PatchLens",
    "Sweep",
    "attenuation_ladder",
    "deletion_curve",
    "exit_sweep",
    "head_divergence",
    "knockout",
    "logit_lens",
    "map_of",
    "patch_lens",
    "read_internals",
]
