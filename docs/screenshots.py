"""Takes the pictures of the page that README and docs show: ``make screenshots``."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

import vif
from vif import bundle
from vif.ui import build_demo, launch_options
from vif.ui.replay import Replay
from vif.ui.state.saved import from_bundle

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
DESKTOP, PHONE = (1366, 768), (390, 844)
TIMEOUT_MS = 300_000
# Pictures and fonts are drawn within it; the page never ends its connection, so idle never comes.
SETTLE_MS = 2_000
LESSONS = 8
# File name: address, window, and whether the whole page is taken or what a window shows of it.
VIEWS = {
    "first-screen": ("", DESKTOP, False),
    "phone": ("", PHONE, True),
    "research": ("&mode=research", DESKTOP, True),
}
# A zip that the page shows without a model; examples are recorded in the same format.
SHARED = ROOT / "assets" / "examples" / "scene-1.zip"
# What a file's name ends with.
THEMES = {"light": "", "dark": "-dark"}


def take(browser: Browser, address: str, name: str, size: tuple[int, int], whole: bool) -> None:
    """Saves one picture once the page shows its answers."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(address)
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=IMAGES / f"{name}.png", full_page=whole)
    page.close()


def take_lesson(browser: Browser, url: str, number: int, theme: str) -> None:
    """Saves one lesson as the class sees it after it was revealed."""
    page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{url}?__theme={theme}&lesson={number}")
    reveal = page.get_by_role("button", name="Reveal")
    reveal.wait_for()
    reveal.click()
    # The button rests at first too: what was seen is there only when the answer is.
    page.locator(".vl-saw").wait_for()
    expect(page.locator("#lesson-reveal")).to_be_enabled(timeout=TIMEOUT_MS)
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=IMAGES / f"lesson-{number}{THEMES[theme]}.png")
    page.close()


def main() -> None:
    """Serves the bundled model and takes every picture."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    IMAGES.mkdir(exist_ok=True)
    demo = build_demo(vif.load(), assets=ROOT / "assets")
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    saved = bundle.read(SHARED)
    with tempfile.TemporaryDirectory() as empty:
        session: Any = Replay(saved)  # it has what the page needs of a session to show answers
        shared = build_demo(session, assets=empty, opened=from_bundle(saved)[0])
    _, shared_url, _ = shared.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for theme, end in THEMES.items():
            for name, (query, size, whole) in VIEWS.items():
                take(browser, f"{url}?__theme={theme}{query}", f"{name}{end}", size, whole)
            take(browser, f"{shared_url}?__theme={theme}", f"shared{end}", DESKTOP, False)
            for number in range(1, LESSONS + 1):
                take_lesson(browser, url, number, theme)
        browser.close()
    demo.close()
    shared.close()


if __name__ == "__main__":
    main()
