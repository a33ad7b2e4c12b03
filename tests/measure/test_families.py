"""Pictures of all shapes, measured on families that tile, resize and squash them."""

import numpy as np
import pytest
from PIL import Image

from vif import data, measure
from vif.check.models import tiny_adapter, tiny_backbone
from vif.measure.curves import FIRST
from vif.session import Session

SIZES = ((96, 40), (40, 96), (64, 64), (120, 50), (96, 40), (70, 90))


def pictures():
    rng = np.random.default_rng(0)
    for i, (width, height) in enumerate(SIZES):
        pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        boxes = ((0.25, 0.25, 0.75, 0.75),) if i % 2 else ()
        yield data.Example(
            f"picture {i}", Image.fromarray(pixels), "what is this ?", boxes=boxes, source=str(i)
        )


@pytest.mark.parametrize("family", ["llava_next", "qwen2_5_vl", "internvl"])
def test_pictures_of_all_shapes_are_measured_as_one_by_one(family, tmp_path):
    session = Session(tiny_backbone(family), tiny_adapter())
    given = data.Data("pictures", "folder", list(pictures()))
    found = []
    for size in (4, 1):
        settings = session.defaults
        job = measure.Job(session, given, ["plain", "vif"], settings, batch_size=size)
        records = measure.Records(tmp_path / str(size), {})
        measure.ask_all(job, measure.measure, records)
        found.append({record["name"]: record["found"] for record in records.read()})
    together, alone = found
    assert set(together) == set(alone) == {f"picture {i}" for i in range(len(SIZES))}
    for name, methods in alone.items():
        for method, one in methods.items():
            share = together[name][method][FIRST]["share"]
            assert share == pytest.approx(one[FIRST]["share"], abs=1e-3)
            assert ("in_box" in one[FIRST]) == (int(name.split()[1]) % 2 == 1)
