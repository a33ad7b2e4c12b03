"""The look of the page: one theme, one style sheet, fonts that ship with Gradio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio import themes
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from vif.ui import tones
from vif.ui.guard.memory import launch_limits, sweeping
from vif.ui.guard.origin import request_guard
from vif.ui.guard.turns import MOST_IN_ALL

# Slate for plain and everything neutral: only VIF has a warm colour.
STATIC = Path(__file__).with_name("static")
# In this order: each uses the ones before it.
_SHARED = ("maps.js", "canvas.js", "store.js", "modes.js")
_SHEETS = ("page.css", "form.css", "answers.css", "tabs.css", "frames.css")
# The page itself is half a megabyte, which Gradio does not compress (6.31).
_ZIPPED = Middleware(GZipMiddleware, compresslevel=6)

_SLATE = themes.Color(
    c50="#f7f8fa",
    c100="#eef1f5",
    c200="#dfe4eb",
    c300="#c5cdd8",
    c400="#94a0b0",
    c500="#67758a",
    c600="#4a576a",
    c700="#364153",
    c800="#212b3a",
    c900="#161e2a",
    c950="#0e141d",
    name="vl-slate",
)


def html_block(value: str = "", **options: Any) -> gr.HTML:
    """Returns an HTML component that is styled by this project's sheet alone."""
    return gr.HTML(value, apply_default_css=False, **options)


def script(name: str) -> str:
    """Returns a script that ships with the page, for ``js_on_load``."""
    return (STATIC / name).read_text(encoding="utf-8")


def figure_block(**options: Any) -> gr.HTML:
    """Returns a component that draws `vif.ui.state.figures.figure_data`, given as ``data``."""
    options = {"data": None, **options}
    return html_block(js_on_load=script("figures.js"), **options)


def head() -> str:
    """Returns what all drawings of the page share, for the head of the page."""
    scripts = "".join(f"<script>{script(name)}</script>" for name in _SHARED)
    return f"<style>{tones.style()}</style>{scripts}"


def theme() -> themes.Base:
    """Returns the theme; every font is served by the page itself."""
    # 700, not 600: the semi-bold file that ships with Gradio lacks most letters.
    return themes.Base(
        primary_hue=_SLATE,
        secondary_hue=_SLATE,
        neutral_hue=_SLATE,
        radius_size=themes.sizes.radius_md,
        font=(themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
        font_mono=(themes.LocalFont("IBM Plex Mono", weights=(400,)), "monospace"),
    ).set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        block_background_fill="#ffffff",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="none",
        block_label_text_weight="600",
        block_title_text_weight="600",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        input_border_width="1px",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_800",
        input_background_fill="#ffffff",
        input_background_fill_dark="*neutral_950",
        button_primary_background_fill="*neutral_900",
        button_primary_background_fill_hover="*neutral_700",
        button_primary_text_color="#ffffff",
        button_primary_background_fill_dark="*neutral_100",
        button_primary_background_fill_hover_dark="#ffffff",
        button_primary_text_color_dark="*neutral_950",
        slider_color="*neutral_600",
        slider_color_dark="*neutral_300",
        checkbox_background_color_selected="*neutral_800",
        checkbox_background_color_selected_dark="*neutral_300",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
    )


def launch_options(host: str = "127.0.0.1") -> dict[str, Any]:
    """Returns the part of ``launch()`` that belongs to the look, to safety and to staying offline.

    Args:
        host: Where the page is served.
    """
    return {
        "app_kwargs": {"middleware": [request_guard(host), _ZIPPED], "lifespan": sweeping},
        **launch_limits(),
        # Gradio's limit on running requests, most of which only wait for the model.
        "max_threads": MOST_IN_ALL + 32,
        "server_name": host,
        "theme": theme(),
        "css_paths": [STATIC / name for name in _SHEETS],
        "head": head(),
        "ssr_mode": False,
        "footer_links": ["api"],
        "share": False,
    }
