"""Every lesson as a class sees it, in the browser, on the bundled model."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HAS_MODEL, drag, shoot
from vif import bench
from vif.ui.lessons import STEPS, Classroom, reveal
from vif.ui.state.examples import read_examples

ASSETS = Path(__file__).parents[2] / "assets"
pytestmark = pytest.mark.skipif(not HAS_MODEL, reason="the bundled model is not there")


@pytest.fixture(scope="module")
def room(session):
    entry = bench.results_without_text(ASSETS / "results" / "bench.json")
    return Classroom(session, read_examples(ASSETS / "examples"), entry)


def open_lesson(browser, url, number, width=1366, theme="light"):
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 768})
    page.goto(f"{url}?__theme={theme}&lesson={number}")
    expect(page.locator(".vl-lesson-head")).to_contain_text(f"Lesson {number} of {len(STEPS)}")
    return page


@pytest.mark.parametrize("step", STEPS, ids=lambda step: str(step.number))
def test_a_class_sees_what_the_model_shows(browser, shipped_url, room, step):
    page = open_lesson(browser, shipped_url, step.number)
    expect(page.locator("#run")).to_be_hidden()
    expect(page.locator("#lesson-after .vl-saw")).to_have_count(0)
    page.locator("#lesson-reveal").click()
    expected = reveal(step, room)
    expect(page.locator(".vl-saw")).to_have_text(expected.saw, timeout=60_000)
    expect(page.locator(".vl-saw")).to_have_attribute("data-holds", "yes")
    expect(page.locator("#lesson-reveal")).to_be_enabled()
    frames = page.locator("#lesson-stage [data-frame='1']")
    if frames.count():
        expect(frames.first).to_be_hidden()
        slider = page.locator("#lesson-stage input[type='range']")
        if slider.count():
            slider.focus()
            page.keyboard.press("ArrowRight")
        else:
            page.locator("#lesson-stage input[type='radio']").nth(1).check()
        expect(frames.first).to_be_attached()
        assert frames.first.get_attribute("hidden") is None
        first = page.locator("#lesson-stage [data-frame='0']").first
        assert first.get_attribute("hidden") is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= 1366
    shoot(page, f"lesson-{step.number}")
    page.close()


def test_a_box_is_kept_for_the_next_step(browser, shipped_url):
    page = open_lesson(browser, shipped_url, 1)
    page.locator(".vl-markable").wait_for()
    drag(page, ".vl-markable", (0.1, 0.1), (0.6, 0.7))
    page.locator("#lesson-reveal").click()
    expect(page.locator(".vl-saw")).to_contain_text(re.compile(r"Your box covers \d+ %"))
    page.locator("#lesson-next").click()
    expect(page.locator(".vl-lesson-head")).to_contain_text("Lesson 2 of")
    expect(page.locator("#lesson-stage .vl-mark")).to_have_count(1)
    page.wait_for_url("**lesson=2**")
    page.locator("#lesson-reveal").click()
    expect(page.locator(".vl-saw")).to_contain_text("lies in your box", timeout=60_000)
    page.close()


def test_an_unknown_lesson_is_the_first(browser, shipped_url):
    page = browser.new_page()
    page.goto(f"{shipped_url}?lesson=99")
    expect(page.locator(".vl-lesson-head")).to_contain_text("Lesson 1 of")
    page.close()


def test_a_phone_shows_a_lesson(browser, shipped_url):
    page = open_lesson(browser, shipped_url, 3, width=390, theme="dark")
    page.locator("#lesson-reveal").click()
    expect(page.locator(".vl-saw")).to_be_visible(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "lesson-3-phone")
    page.close()
