"""Answers that are boxes: the format of each family, and their place on the original image."""

from vif.grounding.boxes import iou, smallest_box
from vif.grounding.formats import FORMATS, BoxFormat, find_format
from vif.grounding.frame import Frame
from vif.grounding.pointing import box_of_map, pointed_map

__all__ = [
    "FORMATS",
    "BoxFormat",
    "Frame",
    "box_of_map",
    "find_format",
    "iou",
    "pointed_map",
    "smallest_box",
]
