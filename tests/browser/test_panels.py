"""The search for a changed answer, the ladder, prior and posterior, on the bundled model."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HAS_MODEL, drag, run

pytestmark = pytest.mark.skipif(not HAS_MODEL, reason="the bundled model is not there")
SLOWLY = 60_000


def test_a_search_says_what_it_took_and_shows_what_it_found(open_page, url):
    page = open_page(url)
    page.locator("#find").click()
    told = page.locator("#find-told")
    expect(told).to_contain_text(re.compile(r"Asked \d+ relational questions"), timeout=SLOWLY)
    expect(told).to_contain_text("The first that changed:")
    expect(page.locator("#run")).to_be_enabled(timeout=SLOWLY)
    answers = page.locator("#answers .vl-card .vl-answer")
    expect(answers).to_have_count(2, timeout=SLOWLY)
    assert answers.nth(0).inner_text() != answers.nth(1).inner_text()
    asked = page.locator("#question textarea").input_value()
    expect(page.locator("#answers .vl-asked")).to_contain_text(asked)
    expect(told).to_contain_text(asked)
    # What was found is a drawn scene: its link opens the same question.
    page.wait_for_url(re.compile("scene="))
    page.goto(page.url)
    expect(page.locator("#answers .vl-asked")).to_contain_text(asked, timeout=SLOWLY)
    expect(page.locator("#answers .vl-verdict")).to_have_count(2)


def test_the_ladder_follows_its_slider(open_page, url):
    page = open_page(url)
    run(page)
    page.get_by_role("tab", name="More text").click()
    page.locator("#ladder-ask").click()
    place = page.locator("#ladder-place")
    expect(place.locator(".vl-chart")).not_to_have_count(0, timeout=SLOWLY)
    expect(place.locator("output")).to_contain_text("0 tokens of text")
    place.locator("input[type='range']").focus()
    page.keyboard.press("ArrowRight")
    expect(place.locator("output span:not([hidden])")).to_have_text("64 tokens of text")
    expect(place.locator(".vl-rung:visible")).to_have_count(1)


def test_only_releasing_the_slider_of_text_asks_all_lengths(open_page, url):
    page = open_page(url)
    number = page.get_by_label("number input for Unrelated text, tokens", exact=True)
    number.fill("64")
    number.press("Tab")
    run(page)
    tab = page.get_by_role("tab", name="More text")
    expect(tab).to_have_attribute("aria-selected", "false")
    drag(page, '#text-length input[type="range"]', (0.2, 0.5), (0.6, 0.5))
    expect(page.locator("#ladder-place .vl-chart")).not_to_have_count(0, timeout=SLOWLY)
    expect(tab).to_have_attribute("aria-selected", "true")
    expect(page.locator("#run")).to_be_enabled(timeout=SLOWLY)


def test_prior_and_posterior_of_a_typed_answer_and_of_none(open_page, url):
    page = open_page(url)
    run(page)
    page.get_by_role("tab", name="Prior and posterior").click()
    page.locator("#belief-show").click()
    place = page.locator("#beliefs")
    expect(place.locator("h4")).to_have_count(2, timeout=SLOWLY)
    expect(place).to_contain_text("nats per latent dimension")
    page.locator("#belief-answer textarea, #belief-answer input").fill("zebra")
    page.locator("#belief-show").click()
    expect(place).to_contain_text("has no token for a word of the answer", timeout=SLOWLY)
    page.locator("#belief-answer textarea, #belief-answer input").fill("red")
    page.locator("#belief-show").click()
    expect(place.locator("legend")).to_be_visible(timeout=SLOWLY)
    expect(place.get_by_role("radio").first).to_be_checked()


def test_a_click_on_a_map_opens_its_words_and_who_reads_it(open_page, url):
    page = open_page(url)
    run(page)
    canvas = page.locator("#answers .vl-card canvas").first
    canvas.click(position={"x": 60, "y": 50})
    place = page.locator("#lens-place")
    expect(place.locator("table")).to_have_count(2, timeout=SLOWLY)
    expect(page.get_by_role("tab", name="Logit lens")).to_have_attribute("aria-selected", "true")
    told = page.locator("#answers .vl-stands")
    expect(told).to_contain_text("The marked place stands for")
    expect(told).to_be_in_viewport()
    expect(canvas).to_be_in_viewport()
    first = place.locator(".vl-small").first.inner_text()
    canvas.focus()
    page.keyboard.press("Enter")
    expect(place.locator(".vl-small").first).not_to_have_text(first, timeout=SLOWLY)
