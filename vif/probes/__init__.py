"""Probes: why a model answers as it does, by what happens when something is taken away.

Functions of a session, an image and a question; each gives a frozen dataclass of arrays with
`as_json`. All but `look_inside` work without attention weights. They edit by `vif.model.edits`,
many variants in one pass (`vif.probes.prefix`), and know nothing about pages or commands.
"""

from __future__ import annotations

from vif.probes.deletion import DeletionCurve, deletion_curve, map_of
from vif.probes.exits import ExitSweep, exit_sweep
from vif.probes.heads import HeadDivergence, head_divergence
from vif.probes.inside import Inside, look_inside
from vif.probes.knockout import BOX_FLOWS, FLOWS, Knockout, knockout
from vif.probes.ladder import Ladder, attenuation_ladder
from vif.probes.lens import LogitLens, PatchLens, logit_lens, patch_lens

__all__ = [
    "BOX_FLOWS",
    "FLOWS",
    "DeletionCurve",
    "ExitSweep",
    "HeadDivergence",
    "Inside",
    "Knockout",
    "Ladder",
    "LogitLens",
    "PatchLens",
    "attenuation_ladder",
    "deletion_curve",
    "exit_sweep",
    "head_divergence",
    "knockout",
    "logit_lens",
    "look_inside",
    "map_of",
    "patch_lens",
]
