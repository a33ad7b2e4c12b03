"""Ordinary photographs of all shapes, cropped from those in installed packages.

python -m tests.photographs folder                      # gradio's and matplotlib's
python -m tests.photographs folder --more PATH/skimage  # scikit-image's as well
"""

import argparse
from pathlib import Path

import gradio
import matplotlib as mpl
import numpy as np
from PIL import Image

# Photographs; packages ship logos, screenshots and textures as well.
GRADIO = ("cheetah", "cheetah1", "groot", "lion", "tower")
SKIMAGE = ("astronaut", "camera", "chelsea", "clock_motion", "coffee", "coins", "moon",
           "motorcycle_left", "rocket", "retina")  # fmt: skip
SUFFIXES = (".jpg", ".jpeg", ".png")
MODES = {".jpg": ("RGB", "L"), ".png": ("RGB", "RGBA", "P"), ".webp": ("RGB",)}
TURNED = 0x0112, 6


def shipped(more=()):
    """Paths of photographs that are on this machine."""
    found = [Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"]
    found += _named(Path(gradio.__file__).parent / "media_assets" / "images", GRADIO)
    for folder in more:
        found += _named(Path(folder), SKIMAGE)
    return found


def write(folder, number, seed=0, more=(), sides=(100, 500)):
    """Writes crops of photographs in various shapes, modes and formats, some turned by EXIF."""
    rng = np.random.default_rng(seed)
    sources = [Image.open(path).convert("RGB") for path in shipped(more)]
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        source = sources[i % len(sources)]
        width, height = (int(rng.integers(side // 2, side, endpoint=True)) for side in source.size)
        left, top = (
            int(rng.integers(0, room, endpoint=True))
            for room in (source.width - width, source.height - height)
        )
        scale = int(rng.integers(*sides, endpoint=True)) / max(width, height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        suffix = [*MODES][i % len(MODES)]
        mode = MODES[suffix][i // len(MODES) % len(MODES[suffix])]
        part = source.crop((left, top, left + width, top + height)).resize(size).convert(mode)
        exif = Image.Exif()
        if suffix == ".jpg" and rng.random() < 0.3:
            exif[TURNED[0]] = TURNED[1]
        part.save(folder / f"{i:02d}{suffix}", exif=exif)


def _named(folder, names):
    return sorted(p for p in folder.rglob("*") if p.stem in names and p.suffix in SUFFIXES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--number", type=int, default=50)
    parser.add_argument("--more", nargs="+", default=[], help="folders to look for more in")
    given = parser.parse_args()
    write(given.folder, given.number, more=given.more)
