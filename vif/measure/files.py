"""Measurements as files: a table, its provenance, figures; one model's or several side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from vif.errors import InputError
from vif.extras import need
from vif.measure.result import FORMAT, KIND, NAME, MeasuredCurves

COMPARISON = "comparison"


def write(result: MeasuredCurves, folder: Path) -> list[Path]:
    """Writes a table (CSV, Parquet), JSON with provenance, figures (PNG, SVG) and a page (HTML).

    Returns:
        The files.

    Raises:
        InputError: If they cannot be written.
    """
    stamp = {"kind": KIND, "format": FORMAT, "written": datetime.now(UTC).isoformat("T", "seconds")}
    paths = [folder / f"{NAME}.{suffix}" for suffix in ("csv", "parquet", "json")]
    try:
        frame = result.frame()
        frame.to_csv(paths[0], index=False)
        frame.to_parquet(paths[1], index=False)
        paths[2].write_text(json.dumps(stamp | asdict(result)) + "\n")
        return [*paths, *write_figures([result], folder)]
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}): free some disk space and run the "
            "same command again; the answered questions are kept."
        ) from error


def write_figures(results: Sequence[MeasuredCurves], folder: Path, name: str = NAME) -> list[Path]:
    """PNG and SVG for print, and an interactive HTML file that needs nothing else."""
    png, svg, page = (folder / f"{name}.{suffix}" for suffix in ("png", "svg", "html"))
    figure = need("vif.measure.figure", "app").draw(results)
    figure.savefig(png, dpi=300)
    # Without a date and with seeded names the same numbers give the same file.
    figure.savefig(svg, metadata={"Date": None})
    drawn = need("vif.measure.page", "app").draw_page(results)
    drawn.write_html(page, include_plotlyjs=True)
    return [png, svg, page]


def compare(files: Sequence[str | Path], folder: Path) -> list[Path]:
    """Writes one table and the figures of several results.

    Args:
        files: ``attenuation.json`` files, or their folders.
        folder: Where the files go; made if it is not there.

    Returns:
        The files.

    Raises:
        InputError: If a file is no result, two are of the same model and methods on the same
            questions, or nothing can be written.
    """
    results = [MeasuredCurves.load(path) for path in files]
    keys = [(r.model, *r.provenance["methods"], r.provenance["data"]["sha256"]) for r in results]
    if len(set(keys)) < len(keys):
        raise InputError(
            "Two of the files contain the same model and methods on the same questions: give "
            "files of different runs."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / f"{COMPARISON}.csv"
        frames = [r.frame().assign(data=r.provenance["data"]["name"]) for r in results]
        need("pandas", "app").concat(frames).to_csv(table, index=False)
        return [table, *write_figures(results, folder, COMPARISON)]
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}).") from error
