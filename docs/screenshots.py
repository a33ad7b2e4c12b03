"""Takes the pictures of the page that README and docs show: ``make screenshots``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

import vif
from vif.ui import build_demo, launch_options

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
DESKTOP, PHONE = (1366, 768), (390, 844)
TIMEOUT_MS = 300_000
# Pictures and fonts are drawn within it; the page never ends its connection, so idle never comes.
SETTLE_MS = 2_000
LESSONS = 8
# File name: address, window, and whether the whole page is taken or what a window shows of it.
VIEWS = {
    "first-screen": ("?__theme=light", DESKTOP, False),
    "first-screen-dark": ("?__theme=dark", DESKTOP, False),
    "phone": ("?__theme=light", PHONE, True),
    "research": ("?__theme=light&mode=research", DESKTOP, True),
}


def take(browser: Browser, address: str, name: str, size: tuple[int, int], whole: bool) -> None:
    """Saves one picture once the page shows its answers."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(address)
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=IMAGES / f"{name}.png", full_page=whole)
    page.close()


def take_lesson(browser: Browser, url: str, number: int) -> None:
    """Saves one lesson as the class sees it after it was revealed."""
    page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{url}?__theme=light&lesson={number}")
    reveal = page.get_by_role("button", name="Reveal")
    reveal.wait_for()
    reveal.click()
    expect(page.get_by_role("button", name="Stop").last).to_be_disabled(timeout=TIMEOUT_MS)
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=IMAGES / f"lesson-{number}.png", full_page=True)
    page.close()


def main() -> None:
    """Serves the bundled model and takes every picture."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    IMAGES.mkdir(exist_ok=True)
    demo = build_demo(vif.load(), assets=ROOT / "assets")
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (query, size, whole) in VIEWS.items():
            take(browser, f"{url}{query}", name, size, whole)
        for number in range(1, LESSONS + 1):
            take_lesson(browser, url, number)
        browser.close()
    demo.close()


if __name__ == "__main__":
    main()
