"""One Chromium, one page, one server for all browser tests."""

import json
import os
import shutil
import types
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Error, expect, sync_playwright

import vif
from tests.support.fake_session import FakeSession
from vif.scenes import ask_scene, draw_scene
from vif.ui import build_demo, launch_options

ASSETS = Path(__file__).parents[2] / "assets"
HAS_MODEL = (ASSETS / "demo-vlm").is_dir() and (ASSETS / "demo-vif").is_dir()
TIMEOUT_MS = 60_000
SHOTS = os.environ.get("SCREENSHOTS")
expect.set_options(timeout=TIMEOUT_MS)


def find_chromium():
    """The browser named by CHROMIUM, one that is installed, or None for Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def session():
    """The bundled model where it is installed, else a fake one."""
    if HAS_MODEL:
        return vif.load(ASSETS / "demo-vlm", adapter=ASSETS / "demo-vif")
    return FakeSession(delay=0.2)


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """An assets folder with one example."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "examples").mkdir()
    scene = draw_scene(5)
    scene.image.save(folder / "examples" / "scene.png")
    question = ask_scene(scene, 5)[0].text
    listing = f'[{{"image": "scene.png", "question": "{question}", "note": "Look closely."}}]'
    (folder / "examples" / "examples.json").write_text(listing)
    return types.SimpleNamespace(folder=folder, question=question)


@pytest.fixture(scope="session")
def traces(tmp_path_factory):
    """The traces of a short training run."""
    folder = tmp_path_factory.mktemp("traces")
    draw_scene(5).image.save(folder / "image-0.png")
    steps = []
    for step in (0, 80):
        files = {}
        for name, trace in FakeSession().ask(None, "Where?", alpha=step / 100).items():
            files[name] = [f"{step}-{name}.npz"]
            trace.save(folder / files[name][0])
        steps.append({"step": step, "traces": files})
    question = {"question": "Where?", "context": "", "answer": "red", "image": "image-0.png"}
    index = {"questions": [question], "steps": steps}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def serve(session, assets):
    demo = build_demo(session, assets=assets, model_box=True)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    return demo, url


@pytest.fixture(scope="session")
def url(session, examples):
    demo, url = serve(session, examples.folder)
    yield url
    demo.close()


@pytest.fixture(scope="session")
def shipped_url(session):
    """The page as it ships, with recorded examples."""
    demo, url = serve(session, ASSETS)
    yield url
    demo.close()


@pytest.fixture(scope="session")
def slow_url(tmp_path_factory):
    """A model without an adapter that is so slow that it has to be stopped."""
    demo, url = serve(FakeSession(adapter=False, delay=30), tmp_path_factory.mktemp("none"))
    yield url
    demo.close()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(
                executable_path=find_chromium(), args=["--no-sandbox"]
            )
        except Error as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"no Chromium: set CHROMIUM or install one ({error.message[:80]})")
        # One context, so that the page's files are loaded once; Gradio tells tabs apart itself.
        yield chromium.new_context()
        chromium.close()


@contextmanager
def watched(context):
    """Yields a function that opens pages; they must log no error and request nothing remote."""
    opened, problems, hosts = [], [], set()

    def report(message):
        if message.type == "error":
            problems.append(message.text)

    def opener(address, width=1440, height=900, theme="light", query=""):
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", report)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.goto(f"{address}?__theme={theme}{query}")
        page.locator("#run").wait_for()
        opened.append(page)
        return page

    yield opener
    for page in opened:
        page.close()
    assert problems == []
    assert hosts <= {"127.0.0.1", None}


@pytest.fixture
def open_page(browser):
    with watched(browser) as opener:
        yield opener


def ready(page):
    """Waits until the answers that the page opens with are drawn."""
    page.wait_for_function("document.querySelector('.vl-where')?.textContent")
    return page


def run(page):
    """Asks, and waits until the answers are drawn and the page is ready again."""
    before = page.evaluate("window.vifStore.result?.id ?? 0")
    page.locator("#run").click()
    page.wait_for_function("before => (window.vifStore.result?.id ?? 0) > before", arg=before)
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#answers .vl-card canvas").first).to_be_visible()
    page.wait_for_function("document.querySelector('.vl-where').textContent !== ''")


def open_research(page):
    """Opens the settings of methods, layers and strength."""
    page.locator("#research button").first.click()
    page.locator("#methods").wait_for()


def shoot(page, name):
    if SHOTS:
        page.wait_for_timeout(600)
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def choose(page, label):
    if page.locator("#methods .vl-menu").get_attribute("open") is None:
        page.locator("#methods summary").click()
    page.locator("#methods label", has=page.locator(f'b:text-is("{label}")')).click()
    page.locator(f'#methods .vl-methods b:text-is("{label}")').wait_for()


def leave_out(page, label):
    page.get_by_role("button", name=f"Leave out {label}", exact=True).click()
    page.locator(f'#methods .vl-methods b:text-is("{label}")').wait_for(state="detached")


def drag(page, selector, start, end):
    """Drags inside an element, in shares of its size."""
    target = page.locator(selector).first
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    for i, (x, y) in enumerate((start, end)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        page.mouse.up() if i else page.mouse.down()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
