"""From the numbers that a model writes to the original image, whatever was done to the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vif.grounding.formats import BINS, PIXELS, THOUSAND, UNIT
from vif.inputs.boxes import Box, as_box
from vif.model.backbone import Backbone
from vif.model.families.picture import pair
from vif.model.families.whole import before_processing

_LAST_BIN = 1024


@dataclass(frozen=True)
class Frame:
    """The processed image on the original one.

    Attributes:
        region: What the processed image shows, (x0, y0, x1, y1) in [0, 1] of the original; beyond
            it where the image was padded, within it where it was cropped.
        size: Width and height of the processed image in pixels.
    """

    region: Box
    size: tuple[int, int]

    @classmethod
    def of(cls, backbone: Backbone, size: tuple[int, int], rows: int, columns: int) -> Frame:
        """The frame of one image.

        Args:
            backbone: The model.
            size: Width and height of the original image in pixels.
            rows: Of the look at the whole image.
            columns: Of the same.
        """
        config = backbone.model.config
        vision = config.vision_config
        if backbone.family.model_type == "llava" and vision.model_type != "pixtral":
            square = np.array([[0.0, 0.0, 1.0, 1.0]])
            kept = before_processing(square, backbone.processor.image_processor, size)[0]
            side = pair(vision.image_size)
            return cls(as_box(map(float, kept)), (side[1], side[0]))
        patch = pair(getattr(vision, "patch_size", 14))
        merge = getattr(vision, "spatial_merge_size", 1)
        return cls((0.0, 0.0, 1.0, 1.0), (columns * patch[1] * merge, rows * patch[0] * merge))

    def to_original(self, box: Box, scale: str) -> Box:
        """A box as written, in [0, 1] of the original image; cut where it leaves it.

        Args:
            box: (x0, y0, x1, y1) in the unit of `scale`.
            scale: Of a `vif.grounding.BoxFormat`.
        """
        units = np.array(box) / self._unit(scale)
        low, extent = np.tile(self.region[:2], 2), np.tile(self._extent, 2)
        return as_box(float(v) for v in (low + units * extent).clip(0, 1))

    @property
    def _extent(self) -> np.ndarray:
        return np.array(self.region[2:]) - self.region[:2]

    def _unit(self, scale: str) -> np.ndarray:
        pixels = np.array([*self.size, *self.size], float)
        units = {UNIT: 1.0, THOUSAND: 1000.0, BINS: float(_LAST_BIN), PIXELS: pixels}
        return np.broadcast_to(units[scale], 4)
