"""Attention by layer over many images and questions, with intervals.

Results are written after every batch, so a run can resume. Several processes can share the work.
"""

from vif.measure.asking import Job, LoadedExample, Measure, ask_all
from vif.measure.curves import METRICS, measure
from vif.measure.files import compare, write
from vif.measure.processes import Processes
from vif.measure.provenance import provenance
from vif.measure.records import RunRecords
from vif.measure.result import MeasuredCurves
from vif.measure.summary import summarise

__all__ = [
    "METRICS",
    "Job",
    "LoadedExample",
    "Measure",
    "MeasuredCurves",
    "Processes",
    "RunRecords",
    "ask_all",
    "compare",
    "measure",
    "provenance",
    "summarise",
    "write",
]
