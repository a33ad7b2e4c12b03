import pytest
from playwright.sync_api import expect

from tests.browser.conftest import HAS_MODEL, choose, drag, leave_out, open_research, run, shoot


def test_four_methods_stand_side_by_side_and_a_map_meets_an_edit(open_page, url):
    page = open_page(url)
    open_research(page)
    choose(page, "PAI")
    choose(page, "Uniform map")
    expect(page.locator("#own-pai")).to_be_visible()
    expect(page.locator("#methods .vl-methods li")).to_have_count(4)
    run(page)
    expect(page.locator("#answers .vl-card canvas")).to_have_count(4)
    shoot(page, "four")
    # A fifth cannot be chosen, and methods that cannot work say why.
    expect(page.locator('#methods input[value="vcd"]')).to_be_disabled()
    expect(page.locator('#methods [data-act="compose"]')).to_be_disabled()
    impossible = page.locator("#methods .vl-impossible").filter(has_text="PAINT")
    expect(impossible).to_contain_text("needs a vision tower")
    leave_out(page, "PAI")
    page.locator('[data-part="map"]').select_option("relative")
    page.locator('[data-part="edit"]').select_option("prune")
    page.locator('#methods [data-act="compose"]').click()
    expect(page.locator("#methods .vl-methods")).to_contain_text("Relative + prune")
    expect(page.locator('#methods input[value="vcd"]')).to_be_disabled()
    run(page)
    expect(page.locator("#answers .vl-card").last).to_contain_text("Relative + prune")
    expect(page.locator("#own-pai")).to_be_hidden()


def test_a_marked_place_is_scored_and_asked_with(open_page, url):
    page = open_page(url)
    page.locator("#look button").first.click()
    page.locator("#look-ask").click()
    expect(page.locator("#look-note")).to_contain_text("Nothing is marked")
    drag(page, ".vl-draw-area", (0.1, 0.2), (0.4, 0.6))
    expect(page.locator("#look-note")).to_contain_text("Marked: 1 box.")
    page.locator('[data-tool="brush"]').click()
    drag(page, ".vl-draw-area", (0.6, 0.2), (0.8, 0.3))
    expect(page.locator("#look-note")).to_contain_text("1 box and 1 stroke")
    page.locator('[data-act="undo"]').click()
    expect(page.locator("#look-note")).to_contain_text("Marked: 1 box.")
    page.locator("#look-check").click()
    expect(page.locator("#look-note")).to_contain_text("known")
    page.locator("#draw").click()
    expect(page.locator(".vl-drawn")).to_have_count(0)
    page.locator("#look-check").click()
    expect(page.locator("#look-note")).to_contain_text("Nothing is marked yet")
    page.locator('[data-tool="box"]').click()
    drag(page, ".vl-draw-area", (0.1, 0.1), (0.9, 0.9))
    page.locator("#look-check").click()
    expect(page.locator("#look-note")).to_contain_text("overlap (IoU)")
    expect(page.locator(".vl-draw-area .vl-box").first).to_be_attached()
    page.locator("#look-ask").click()
    expect(page.locator('#answers [data-answer="look"]')).to_be_visible()
    expect(page.locator(".vl-drawn")).to_have_count(1)
    shoot(page, "look")


def test_a_changed_mixture_is_asked_beside_the_others(open_page, url):
    page = open_page(url)
    run(page)
    page.get_by_role("tab", name="Components").click()
    expect(page.locator("#ask-again")).to_be_disabled()
    page.locator('#components [data-kind="mute"]').first.click()
    expect(page.locator("#components .vl-muted-component")).to_have_count(1)
    expect(page.locator(".vl-changed")).to_have_text("Changed by you: 1 muted.")
    x = page.get_by_label("x of component 2", exact=True)
    before = x.input_value()
    y = page.get_by_label("y of component 2", exact=True).input_value()
    drag(page, "canvas.vl-rings", (float(before), float(y)), (0.5, 0.5))
    expect(page.locator(".vl-changed")).to_have_text("Changed by you: 1 muted, 1 changed.")
    page.get_by_label("sigma of component 1", exact=True).fill("0.2")
    page.locator("#ask-again").click()
    changed = page.locator('#answers [data-answer="changed"]')
    expect(changed).to_contain_text("1 muted")
    expect(page.locator("#answers .vl-card")).to_have_count(3)
    expect(page.locator("#answers .vl-stale")).to_be_hidden()
    shoot(page, "changed")


def test_undo_brings_the_own_mixture_back(open_page, url):
    page = open_page(url)
    run(page)
    page.get_by_role("tab", name="Components").click()
    page.locator('#components [data-kind="solo"]').first.click()
    expect(page.locator(".vl-changed")).to_contain_text("one component alone")
    page.locator("#undo-changes").click()
    expect(page.locator(".vl-changed")).to_be_empty()


def test_sinks_are_marked_without_the_model(open_page, url):
    page = open_page(url)
    run(page)
    page.locator(".vl-options summary").click()
    page.locator('[data-view="show"]').select_option("removed")
    expect(page.locator(".vl-amounts").first).to_contain_text("sink")
    page.locator('[data-view="show"]').select_option("raw")
    expect(page.locator(".vl-amounts").first).not_to_contain_text("sink")


@pytest.mark.skipif(not HAS_MODEL, reason="probes need a model")
def test_probes_stay_until_they_are_removed_and_a_range_can_be_taken(open_page, url):
    page = open_page(url)
    run(page)
    page.get_by_role("tab", name="Probes").click()
    results = page.locator("#probe-results .vl-probe")
    for count, name in enumerate(("Head divergence", "Layer ranges"), start=1):
        page.locator("#probe-kind label", has_text=name).click()
        page.locator("#probe-run").click()
        expect(results).to_have_count(count)
    expect(page.locator("#probe-results .js-plotly-plot")).to_be_visible()
    cell = page.locator("#probe-results .vl-range-cell:enabled").last
    cell.click()
    open_research(page)
    expect(page.get_by_label("Injection layers from")).to_have_value("7")
    expect(page.locator("#probe-message")).to_contain_text("settings now have injection layers")
    run(page)
    expect(results).to_have_count(2)
    shoot(page, "probes")
    page.get_by_role("button", name="Remove", exact=True).first.click()
    expect(results).to_contain_text(["Head divergence"])


def test_a_training_is_watched_step_by_step(open_page, url, traces, tmp_path):
    page = open_page(url)
    page.locator("#training button").first.click()
    page.get_by_label("Traces folder").fill(str(tmp_path))
    page.locator("#training-open").click()
    expect(page.locator("#training-message")).to_contain_text("contains no index.json")
    page.get_by_label("Traces folder").fill(str(traces))
    page.locator("#training-open").click()
    expect(page.locator("#training-view")).to_contain_text("Step 80")
    page.locator("#training-strip button").first.click()
    expect(page.locator("#training-view")).to_contain_text("Step 0")
    expect(page.locator("#training-figures canvas")).to_have_count(2)
    shoot(page, "training")
