"""Pictures of all shapes, measured on families that tile, resize and squash them."""

from pathlib import Path

import gradio
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from tests.photographs import write
from vif import data, measure
from vif.check.models import tiny_adapter, tiny_backbone
from vif.check.recipes import TINY
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


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llava_next", "qwen2_5_vl", "internvl"])
def test_pictures_of_all_shapes_are_measured_as_one_by_one(family, tmp_path):
    session = Session(tiny_backbone(family), tiny_adapter())
    given = data.DataSet("pictures", "folder", list(pictures()))
    found = []
    for size in (4, 1):
        settings = session.defaults
        job = measure.Job(session, given, ["plain", "vif"], settings, batch_size=size)
        records = measure.RunRecords(tmp_path / str(size), {})
        measure.ask_all(job, measure.measure, records)
        found.append({record["name"]: record["found"] for record in records.read()})
    together, alone = found
    assert set(together) == set(alone) == {f"picture {i}" for i in range(len(SIZES))}
    for name, methods in alone.items():
        for method, one in methods.items():
            share = together[name][method][FIRST]["share"]
            assert share == pytest.approx(one[FIRST]["share"], abs=1e-3)
            assert ("in_box" in one[FIRST]) == (int(name.split()[1]) % 2 == 1)


# Photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Photographs from gradio and matplotlib, in several modes and formats, one of them broken."""
    folder = tmp_path_factory.mktemp("photographs")
    shipped = Path(gradio.__file__).parent / "media_assets" / "images"
    hopper = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    lion, tower, cheetah = (Image.open(shipped / f"{n}.jpg") for n in ("lion", "tower", "cheetah"))
    lion.resize((200, 90)).convert("L").save(folder / "grey.png")
    tower.resize((60, 180)).convert("RGBA").save(folder / "clear.webp")
    cheetah.resize((31, 30)).convert("P").save(folder / "palette.gif")
    turned = Image.Exif()
    turned[0x0112] = 6
    cheetah.crop((0, 0, 300, 100)).save(folder / "turned.jpg", exif=turned)
    (folder / "whole.jpg").write_bytes(hopper.read_bytes())
    (folder / "broken.jpg").write_bytes(hopper.read_bytes()[:2000])
    return folder


@pytest.mark.parametrize("family", ["llava_next", "qwen2_5_vl"])
def test_a_folder_of_photographs_is_measured_and_what_is_broken_listed(
    family, photographs, tmp_path
):
    session = Session(tiny_backbone(family), tiny_adapter())
    given = data.read(photographs)
    settings = session.defaults.changed(max_new_tokens=1)
    job = measure.Job(session, given, ["plain", "vif"], settings, batch_size=4)
    records = measure.RunRecords(tmp_path, {})
    measure.ask_all(job, measure.measure, records)
    found = {record["name"]: record for record in records.read()}
    assert len(found) == 6
    assert "broken.jpg" in found.pop("broken.jpg")["skipped"]
    entries = measure.summarise(found.values())
    assert {entry["n"] for entry in entries} == {5}
    shares = [e["mean"] for e in entries if e["metric"] == "share" and e["tokens"] == FIRST]
    assert all(0 < value < 1 for mean in shares for value in mean)


@pytest.fixture(scope="module")
def parts_of_photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    write(folder, 8)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("family", TINY)
def test_every_family_is_measured_on_photographs(family, parts_of_photographs, tmp_path):
    session = Session(tiny_backbone(family), tiny_adapter())
    given = data.read(parts_of_photographs)
    settings = session.defaults.changed(max_new_tokens=2)
    records = measure.RunRecords(tmp_path, {})
    measure.ask_all(
        measure.Job(session, given, ["plain", "vif"], settings), measure.measure, records
    )
    found = list(records.read())
    assert len(found) == 8
    assert not [record for record in found if "skipped" in record]
    for record in found:
        for method in ("plain", "vif"):
            first = record["found"][method][FIRST]
            parts = [first[name] for name in ("share", "question", "answer", "other")]
            known = [layer for layer in zip(*parts, strict=True) if None not in layer]
            assert np.sum(known, 1) == pytest.approx(np.ones(len(known)), abs=1e-3)
