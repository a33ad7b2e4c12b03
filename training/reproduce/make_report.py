"""Writes the tables of README.md and docs/results.md, and the text-length chart.

python -m vif bench --n 2000 --json assets/results/bench.json
python -m vif bench --n 600 --text 64 128 256 384 --json assets/results/bench-text.json
python -m vif bench --n 400 --methods all --controls --json assets/results/methods.json
python -m vif bench --n 300 --families odd --json assets/results/odd.json
python -m vif uncertainty --n 300 --ambiguous 200 --samples 8 --json assets/results/uncertainty.json
python -m training.reproduce.make_report
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from plotly import graph_objects as go

from training.reproduce.method_table import method_section
from training.reproduce.uncertainty_tables import uncertainty_sections
from training.reproduce.variant_tables import variant_sections
from vif.bench.tables import by_place
from vif.charts import style as charts

RESULTS = Path("assets/results")
PAGES = (Path("README.md"), Path("docs/results.md"))
CHART = "text-length.png"
GROUPS = ("all", "general", "fine-grained", "grounding", "fine-grained + grounding")
WIDTH, HEIGHT = 1100, 460


def group_table(run: dict[str, Any]) -> str:
    """Accuracy by group in percent, with intervals, of one run as a Markdown table."""
    lines = [
        "| method | " + " | ".join(GROUPS) + " | fixed / broken | pointing |",
        "|---" * (len(GROUPS) + 3) + "|",
    ]
    for name, found in run["methods"].items():
        cells = [
            f"{100 * found['accuracy'][g]:.1f} [{100 * found['interval'][g][0]:.1f}, "
            f"{100 * found['interval'][g][1]:.1f}]"
            for g in GROUPS
        ]
        pointing = "" if found["pointing"] is None else f"{100 * found['pointing']:.1f}"
        counts = f"{found['fixed']} / {found['broken']}"
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {counts} | {pointing} |")
    return "\n".join(lines)


def difference_table(run: dict[str, Any]) -> str:
    """Paired difference to plain in points, with intervals, as a Markdown table."""
    lines = ["| method | " + " | ".join(GROUPS) + " |", "|---" * (len(GROUPS) + 1) + "|"]
    for name, found in run["methods"].items():
        if name == "plain":
            continue
        cells = [_signed(found["difference"][g], found["difference_interval"][g]) for g in GROUPS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def family_table(run: dict[str, Any]) -> str:
    """Accuracy by question family in percent as a Markdown table."""
    methods = run["methods"]
    first = next(iter(methods.values()))
    lines = ["| family | n | " + " | ".join(methods) + " |", "|---" * (len(methods) + 2) + "|"]
    for family, count in first["family_n"].items():
        values = (f"{100 * found['families'][family]:.1f}" for found in methods.values())
        lines.append(f"| {family} | {count} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def place_table(run: dict[str, Any]) -> str:
    """Accuracy in percent by whether VIF's map points into a true box, as a Markdown table."""
    head, *rows = by_place(run["methods"], ["vif"]) or [["", "n"]]
    lines = ["|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(["| " + " | ".join(head) + " |", *lines])


def text_table(runs: list[dict[str, Any]]) -> str:
    """Accuracy over all groups by text length, and the difference of VIF to plain."""
    names = list(runs[0]["methods"])
    lines = [
        "| text | n | " + " | ".join(names) + " | vif - plain | recovered of oracle |",
        "|---" * (len(names) + 4) + "|",
    ]
    for run in runs:
        methods = run["methods"]
        values = (f"{100 * methods[n]['accuracy']['all']:.1f}" for n in names)
        gain, span = (methods["vif"][k]["all"] for k in ("difference", "difference_interval"))
        most = methods["oracle"]["difference"]["all"]
        share = f"{100 * gain / most:.0f} %" if most > 0 else "-"
        shown = [*values, _signed(gain, span), share]
        lines.append(f"| {run['text']} | {run['n']} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _signed(value: float, span: list[float]) -> str:
    """A difference with its interval, in points."""
    return f"{100 * value:+.1f} [{100 * span[0]:+.1f}, {100 * span[1]:+.1f}]"


def text_chart(runs: list[dict[str, Any]]) -> go.Figure:
    """Accuracy against text length, one curve per method with its 95 % band."""
    figure = go.Figure()
    lengths = [run["text"] for run in runs]
    for position, name in enumerate(runs[0]["methods"]):
        colour = charts.method_colour(name, position)
        found = [run["methods"][name] for run in runs]
        values = [100 * f["accuracy"]["all"] for f in found]
        low, high = ([100 * f["interval"]["all"][k] for f in found] for k in (0, 1))
        figure.add_scatter(
            x=lengths + lengths[::-1],
            y=high + low[::-1],
            mode="lines",
            fill="toself",
            fillcolor=colour,
            opacity=0.13,
            line_width=0,
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=lengths,
            y=values,
            name=charts.method_label(name),
            mode="lines+markers",
            line={"color": colour, "width": 3 if name in ("plain", "vif") else 2,
                  "dash": "solid" if name in ("plain", "vif") else "dot"},
        )  # fmt: skip
    figure.update_layout(
        template="plotly_white",
        width=WIDTH,
        height=HEIGHT,
        margin={"l": 70, "r": 20, "t": 56, "b": 60},
        title="More unrelated text, less image: what steering brings back",
        xaxis={"title": "tokens of unrelated text before the question", "tickvals": lengths},
        yaxis={"title": "right answers, % (band: 95 %)", "rangemode": "tozero"},
        font={"size": 15},
    )
    return figure


def save_chart(figure: go.Figure, path: Path) -> None:
    """Renders a figure to PNG with the browser that the tests use."""
    from playwright.sync_api import sync_playwright

    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
        page.set_content(figure.to_html(include_plotlyjs=True, config={"staticPlot": True}))
        page.wait_for_selector(".main-svg")
        page.locator(".js-plotly-plot").screenshot(path=path)
        browser.close()


def fill(page: str, sections: dict[str, str]) -> str:
    """Replaces the text between ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: If a page has a section twice, or one that nothing is known of.
    """
    names = re.findall(r"^<!-- /([a-z-]+) -->$", page, flags=re.M)
    if len(set(names)) < len(names) or not set(names) <= set(sections):
        raise ValueError(f"A page has the sections {names}, expected each once of {[*sections]}.")
    for name in names:
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        page = re.sub(pattern, lambda m, n=name: f"{m[1]}{sections[n]}\n{m[2]}", page, flags=re.S)
    return page


def read_runs(results: Path) -> list[dict[str, Any]]:
    """All runs by text length, shortest first."""
    names = ("bench.json", "bench-text.json")
    runs = [run for name in names for run in json.loads((results / name).read_text())]
    return sorted(runs, key=lambda run: run["text"])


def sections(results: Path) -> dict[str, str]:
    """All tables, by the name of their section."""
    runs = read_runs(results)
    first = runs[0]
    found = {
        "groups": group_table(first),
        "differences": difference_table(first),
        "places": place_table(first),
        "families": family_table(first),
        "texts": text_table(runs),
        "methods": method_section(results),
    }
    found |= variant_sections(results) | uncertainty_sections(results)
    return found


def keep_logs(runs: Path, results: Path) -> None:
    """Copies the log of every training in a folder, and the seconds of all stages."""
    logs = results / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for path in runs.glob("*/**/log.jsonl"):
        kept = logs / path.parent.relative_to(runs).with_suffix(".jsonl")
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
    if (runs / "timings.json").exists():
        shutil.copyfile(runs / "timings.json", results / "timings.json")


def main() -> None:
    """Parses the command line and runs the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--pages", type=Path, default=Path(), help="folder of README.md and docs")
    parser.add_argument("--runs", type=Path, help="folder of trainings whose logs are kept")
    args = parser.parse_args()
    if args.runs is not None:
        keep_logs(args.runs, args.results)
    tables = sections(args.results)
    for page in PAGES:
        path = args.pages / page
        path.write_text(fill(path.read_text(), tables))
    save_chart(text_chart(read_runs(args.results)), args.results / CHART)


if __name__ == "__main__":
    main()
