"""Accessibility: axe, the keyboard, 200 % zoom, and a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import HAS_MODEL, ready, run

pytestmark = pytest.mark.skipif(not HAS_MODEL, reason="the recordings are of the bundled model")


def violations(page, within=None):
    """The violations that axe finds in the page or a part of it: rule and first element."""
    found = Axe().run(page, context=within).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found]


def test_a_first_visit_takes_less_than_600_kb(browser, shipped_url):
    other = browser.browser.new_context()
    page = other.new_page()
    network, sizes = other.new_cdp_session(page), []
    network.on("Network.loadingFinished", lambda sent: sizes.append(sent["encodedDataLength"]))
    network.send("Network.enable")
    page.goto(shipped_url)
    ready(page)
    expect(page.locator("#examples img").last).to_be_visible()
    other.close()
    assert 100_000 < sum(sizes) < 600_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_load_and_after_a_run(open_page, shipped_url, theme):
    page = ready(open_page(shipped_url, width=1366, height=768, theme=theme))
    assert violations(page) == []
    run(page)
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_research_mode(open_page, shipped_url, theme):
    page = ready(open_page(shipped_url, theme=theme, query="&mode=research"))
    page.locator("#methods summary").click()
    page.locator("#answers canvas").first.click(position={"x": 60, "y": 60})
    expect(page.locator("#lens-place table").first).to_be_visible()
    assert violations(page) == []
    tabs = page.locator("#more > .tab-wrapper").get_by_role("tab")
    assert tabs.count() == 10
    for tab in tabs.all():
        tab.click()
        panel = page.get_by_role("tabpanel").filter(visible=True)
        expect(panel).to_have_count(1)
        if tab.inner_text() == "Compare models":
            expect(panel.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        assert violations(page, "#more") == [], tab.inner_text()


def test_axe_finds_nothing_on_a_phone(open_page, shipped_url):
    assert violations(ready(open_page(shipped_url, width=390, height=844))) == []


def test_two_hundred_per_cent_zoom_needs_no_horizontal_scroll(open_page, shipped_url):
    """1366 px at 200 % are 683 px."""
    page = ready(open_page(shipped_url, width=683, height=384))
    assert page.evaluate("document.documentElement.scrollWidth") <= 683
    expect(page.locator("#run")).to_be_in_viewport(ratio=1)


def test_two_hundred_per_cent_zoom_shows_both_answers_at_once(open_page, shipped_url):
    page = ready(open_page(shipped_url, 683, 384))
    for canvas in page.locator("#answers .vl-card canvas").all():
        box = canvas.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 683


def test_maps_stay_large_in_projector_type(open_page, shipped_url):
    page = ready(open_page(shipped_url, 1366, 768, query="&projector=1"))
    card = page.locator("#answers .vl-card").first
    assert card.locator("canvas").bounding_box()["width"] > 0.7 * card.bounding_box()["width"]


def test_a_phone_after_a_run_is_not_endless_and_swipes_between_maps(open_page, shipped_url):
    page = ready(open_page(shipped_url, width=390, height=844))
    run(page)
    assert page.evaluate("document.documentElement.scrollHeight") < 3000
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator("#run")).to_be_in_viewport(ratio=1)
    cards = page.locator("#answers .vl-cards")
    assert cards.evaluate("cards => getComputedStyle(cards).scrollSnapType") == "x mandatory"
    expect(page.locator("#answers .vl-card").last).not_to_be_in_viewport(ratio=0.9)
    cards.evaluate("cards => cards.scrollTo(cards.scrollWidth, 0)")
    expect(page.locator("#answers .vl-card").last).to_be_in_viewport(ratio=0.5)


SEEN = """() => {
  const at = document.activeElement;
  const seen = (node) => {
    const style = getComputedStyle(node);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  };
  return [at.outerHTML.slice(0, 120), at === document.body || seen(at)];
}"""


def test_the_keyboard_reaches_run_and_focus_is_seen_everywhere(open_page, shipped_url):
    page = ready(open_page(shipped_url, width=1366, height=768))
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        element, is_seen = page.evaluate(SEEN)
        assert is_seen, element
        reached.append(element)
    for wanted in ('id="run"', "<canvas", 'data-view="layer"', 'role="tab"'):
        assert any(wanted in element for element in reached), wanted


def test_arrow_keys_move_along_tabs_and_layers(open_page, shipped_url):
    page = ready(open_page(shipped_url))
    first = page.get_by_role("tab", name="Curves", exact=True)
    first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="All layers")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tab", name="All layers")).to_be_focused()
    layer = page.get_by_label("Layer", exact=True)
    before = layer.get_attribute("aria-valuetext")
    layer.press("ArrowLeft")
    expect(layer).not_to_have_attribute("aria-valuetext", before)


def test_a_drag_over_layers_sets_the_range(open_page, shipped_url):
    page = ready(open_page(shipped_url, query="&mode=research"))
    row = page.locator('#plan [data-range="injection"]')
    row.scroll_into_view_if_needed()
    row.locator('[data-layer="3"]').hover()
    page.mouse.down()
    row.locator('[data-layer="5"]').hover()
    page.mouse.up()
    expect(page.locator("#injection-from input")).to_have_value("3")
    expect(page.locator("#injection-to input")).to_have_value("5")
    expect(row.locator(".vl-is-injection")).to_have_count(3)
    page.locator('#plan [data-range="learning"] [data-layer="2"]').click()
    expect(page.locator("#learning-from input")).to_have_value("2")
    expect(page.locator("#answers .vl-stale")).to_be_visible()
