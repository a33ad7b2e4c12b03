"""Takes the picture of the page that the README shows: ``make screenshots``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

import vif
from vif.ui import build_demo, launch_options

ROOT = Path(__file__).parents[1]
SIZE = {"width": 1366, "height": 900}
TIMEOUT_MS = 300_000


def main() -> None:
    """Asks the bundled model the first example and saves the first screen."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    demo = build_demo(vif.load(), assets=ROOT / "assets")
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"{url}?__theme=light")
        page.locator("#run").click()
        cards = page.locator("#cards .vl-card")
        cards.first.wait_for()
        expect(page.locator("#run")).to_be_enabled(timeout=TIMEOUT_MS)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=images / "first-screen.png")
        browser.close()
    demo.close()


if __name__ == "__main__":
    main()
