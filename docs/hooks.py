"""Lets the site show pictures of ``assets/``, which the pages name as GitHub needs it."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files  # pyright: ignore[reportMissingImports]  # where the docs are built

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "assets"
# Put in here rather than by the extension, which comes too late for its links.
TRAINING = '--8<-- "training/README.md"'


def on_files(files: Files, config: Any) -> Files:
    """Adds the pictures to the site."""
    for path in sorted(ASSETS.rglob("*.png")):
        place = path.relative_to(ASSETS.parent).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Points links that leave ``docs/`` at what stands for their targets in the site."""
    guide = (ROOT / "training/README.md").read_text(encoding="utf-8")
    return (
        markdown.replace(TRAINING, guide)
        .replace("](../assets/", "](assets/")
        .replace("](../training/README.md", "](training.md")
        .replace("](../README.md", "](index.md")
        .replace("](../docs/", "](")
    )
