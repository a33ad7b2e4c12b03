"""The page in use: asking, changing the view, errors, other models."""

import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import ASSETS, HAS_MODEL, choose, leave_out, open_research, run, shoot
from tests.support.fake_session import BREAKING

# Runs in the page: what is drawn over the bar that holds Run, wherever one scrolls.
COVERED = """async () => {
  const bar = document.querySelector('#run-bar');
  const found = new Set();
  for (let y = 0; y < document.documentElement.scrollHeight; y += 60) {
    scrollTo(0, y);
    await new Promise((done) => requestAnimationFrame(done));
    const box = bar.getBoundingClientRect();
    for (let x = box.left + 5; x < box.right; x += 25) {
      const seen = document.elementFromPoint(x, (box.top + box.bottom) / 2);
      if (!bar.contains(seen)) found.add(seen.outerHTML.slice(0, 80));
    }
  }
  scrollTo(0, 0);
  return [...found];
}"""


def question(page):
    return page.locator("#question textarea")


def card(page, method="plain"):
    return page.locator(f'#answers [data-answer="{method}"]')


def pixels(page, method="plain"):
    """The pixels of a map, to tell whether it was drawn again."""
    return card(page, method).locator("canvas").evaluate("canvas => canvas.toDataURL()")


def changes(page, act, method="plain"):
    """Whether an action changes the pixels of a map."""
    before = pixels(page, method)
    act()
    page.wait_for_function(
        """([method, before]) => document.querySelector(
             `#answers [data-answer="${method}"] canvas`).toDataURL() !== before""",
        arg=[method, before],
    )


def test_a_new_scene_is_answered_twice(open_page, url):
    page = open_page(url)
    expect(page.locator("#answers")).to_contain_text("both answers appear here")
    expect(page.locator("#body")).to_be_hidden()
    before = page.locator("#picture img").get_attribute("src")
    page.locator("#draw").click()
    expect(page.locator("#picture img")).not_to_have_attribute("src", before)
    page.locator("#suggestions button").nth(1).click()
    chosen = page.locator("#suggestions button").nth(1).inner_text()
    expect(question(page)).to_have_value(chosen)
    run(page)
    expect(page.locator(".vl-asked")).to_contain_text(chosen)
    for method in ("plain", "vif"):
        expect(card(page, method).locator(".vl-answer")).not_to_be_empty()
        expect(card(page, method).locator(".vl-verdict")).to_be_visible()
        expect(card(page, method).locator("canvas")).to_be_visible()
    expect(page.locator("#curves svg").first).to_be_visible()
    shoot(page, "answered")


def test_plain_alone_has_no_mixture_and_vif_can_be_steered_to_other_layers(open_page, url):
    page = open_page(url)
    open_research(page)
    leave_out(page, "VIF")
    expect(page.locator("#settings")).to_be_hidden()
    run(page)
    expect(page.locator("#answers .vl-card")).to_have_count(1)
    page.get_by_role("tab", name="Components").click()
    expect(page.locator("#components .vl-none")).to_be_visible()
    choose(page, "VIF")
    page.get_by_label("Injection layers from").fill("6")
    page.get_by_label("Injection layers from").press("Tab")
    expect(page.locator("#plan .vl-is-injection")).to_have_count(2)
    run(page)
    expect(page.locator("#answers .vl-card")).to_have_count(2)
    expect(page.locator("#answers .vl-strip .vl-is-injection")).to_have_count(2)
    layers = page.locator('#components [data-field="layer"] option')
    expect(layers).to_have_text(["Layer 6", "Layer 7"])
    page.get_by_label("Injection layers from").fill("6.5")
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("(injection_start) is 6.5")


def test_layer_head_and_token_are_drawn_in_the_browser_alone(open_page, url):
    page = open_page(url)
    run(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    where, scrubber = page.locator(".vl-where"), page.locator('[data-view="layer"]')
    changes(page, lambda: page.locator('.vl-strip [data-layer="2"]').click())
    expect(where).to_contain_text("Layer 2")
    changes(page, lambda: scrubber.press("ArrowRight"))
    expect(where).to_contain_text("Layer 3")
    page.locator(".vl-options summary").click()
    changes(page, lambda: page.locator('[data-view="head"]').select_option("1"))
    changes(page, lambda: page.locator('[data-view="opacity"]').fill("0.3"))
    changes(page, lambda: page.locator('[data-view="all"]').check())
    expect(where).to_have_text("Mean of all layers")
    changes(page, lambda: page.locator('[data-view="all"]').uncheck())
    changes(page, lambda: page.locator('[data-view="show"]').select_option("difference"), "vif")
    page.get_by_role("tab", name="All layers").click()
    page.locator('#layers [data-layer="4"]').first.click()
    expect(where).to_contain_text("Layer 4")
    expect(page.locator('#layers [data-layer="4"][aria-pressed="true"]')).to_have_count(2)
    page.get_by_role("tab", name="Curves").click()
    page.locator('#curves [data-layer="5"]').first.click()
    expect(where).to_contain_text("Layer 5")
    # The server learns of the view when it rests.
    assert not [url for url in asked if "queue/join" in url]


def test_the_browser_makes_the_maps_that_python_makes(open_page, url):
    """The server's slices come from `vif.draw.render.pick_map`; the rows are put together here."""
    page = open_page(url)
    run(page)
    worst = page.evaluate("""() => {
      const {result, view} = window.vifStore, maps = window.vifMaps;
      let worst = 0;
      for (const answer of result.answers) for (const mixture of answer.mixtures) {
        const made = maps.density(answer.cells, mixture.means, mixture.sigmas, mixture.weights);
        made.forEach((value, i) => { worst = Math.max(worst, Math.abs(value - mixture.map[i])); });
      }
      for (const answer of result.answers) result.attention.forEach((layer) => {
        const sum = maps.values(result, answer, {...view, head: 'mean'}, layer)
          .reduce((a, b) => a + b, 0);
        worst = Math.max(worst, Math.abs(sum - answer.share[0][layer]));
      });
      return worst;
    }""")
    assert worst < 2e-3


def test_attention_of_zero_leaves_the_picture_untouched(open_page, url):
    page = open_page(url)
    run(page)
    alpha = page.evaluate("""() => {
      const layer = window.vifCanvas.heat(Float32Array.of(0, 1, 0.5, NaN), 2, 2, 1, 0.8,
        [200, 80, 10]);
      const data = layer.getContext('2d').getImageData(0, 0, 2, 2).data;
      return [data[3], data[7], data[11], data[15]];
    }""")
    assert alpha == [0, 204, 102, 166]


def test_play_goes_through_the_layers_and_a_hover_reads_a_value(open_page, url):
    page = open_page(url)
    run(page)
    play = page.locator('[data-act="play"]')
    page.locator('.vl-strip [data-layer="3"]').click()
    play.click()
    expect(play).to_have_attribute("aria-pressed", "true")
    expect(play).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".vl-where")).to_contain_text("Layer 7")
    card(page).locator("canvas").hover()
    for method in ("plain", "vif"):
        expect(card(page, method).locator(".vl-point")).to_contain_text("at the pointer")


def test_everything_can_be_saved(open_page, url):
    page = open_page(url)
    run(page)
    page.get_by_role("tab", name="Share").click()
    page.locator("#prepare").click()
    expect(page.locator("#files")).to_contain_text("vif-lens")
    run(page)
    expect(page.locator("#files")).to_be_hidden()


def test_a_problem_gives_one_sentence_at_the_button_and_the_old_answers_are_dimmed(
    open_page, url, tmp_path
):
    page = open_page(url)
    run(page)
    expect(page.locator("#answers .vl-stale")).to_be_hidden()
    old = page.locator(".vl-cards").inner_text()
    question(page).fill("")
    expect(page.locator("#answers .vl-stale")).to_be_visible()
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no question")
    expect(page.get_by_role("alert")).to_be_in_viewport()
    question(page).fill("Is this kept?")
    page.get_by_label("Remove Image").click()
    bad = tmp_path / "notes.png"
    bad.write_text("no picture")
    page.locator("#picture input[type=file]").set_input_files(bad)
    expect(page.get_by_role("alert")).to_contain_text("notes.png")
    expect(page.locator("#picture img")).to_have_count(0)
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no picture")
    expect(question(page)).to_have_value("Is this kept?")
    expect(page.locator("#run")).to_be_enabled()
    assert page.locator(".vl-cards").inner_text() == old


def test_more_text_before_the_question_is_shown_counted_and_told_with_the_answers(open_page, url):
    page = open_page(url)
    page.get_by_label("range slider for Unrelated text").fill("128")
    page.locator("#show-text button").first.click()
    expect(page.locator("#context textarea")).not_to_have_value("")
    expect(page.locator("#text-note")).not_to_contain_text("No text")
    run(page)
    expect(page.locator(".vl-asked")).to_contain_text("tokens of unrelated text")
    page.locator("#draw").click()
    expect(page.locator("#context textarea")).to_have_value("")


def test_a_double_click_runs_once(open_page, url, session, monkeypatch):
    asked, ask = [], session.ask

    def count(*args, **kwargs):
        asked.append(kwargs)
        return ask(*args, **kwargs)

    monkeypatch.setattr(session, "ask", count)
    page = open_page(url)
    page.locator("#run").dblclick()
    expect(page.locator("#answers .vl-card")).to_have_count(2)
    expect(page.locator("#run")).to_have_text("Run")
    assert len(asked) == 1


def test_a_run_that_is_stopped_or_breaks_says_so(open_page, slow_url):
    page = open_page(slow_url)
    page.locator("#run").click()
    expect(page.locator("#stop")).to_be_enabled()
    page.locator("#stop").click()
    expect(page.locator("#message")).to_contain_text("Stopped.")
    expect(page.locator("#run")).to_be_enabled()
    question(page).fill(BREAKING)
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("The model stopped with an error")
    expect(page.locator("#run")).to_be_enabled()


def test_stop_comes_too_late_and_is_taken_back(open_page, url):
    page = open_page(url)
    held = []
    # The request that locks Stop again waits until Stop was clicked.
    page.route("**/run/predict*", lambda route: held.append(route))
    page.locator("#run").click()
    page.wait_for_function("window.vifStore.result")
    page.locator("#stop").click()
    expect(page.locator("#message")).to_contain_text("Stopping…")
    for route in held:
        route.continue_()
    page.unroute("**/run/predict*")
    expect(page.locator("#stop")).to_be_disabled()
    expect(page.locator("#message")).not_to_contain_text("Stopping…")


def test_an_animation_says_that_one_frame_is_asked_about(open_page, url, tmp_path):
    page = open_page(url)
    frames = [Image.new("RGB", (60, 60), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    page.get_by_label("Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(tmp_path / "two.gif")
    expect(page.locator("#message")).to_contain_text("only the first is asked about")


def test_an_emptied_number_is_not_an_error(open_page, url):
    page = open_page(url)
    box = page.get_by_label("number input for Unrelated text, tokens", exact=True)
    for value in ("", "9999", ""):
        box.fill(value)
    box.press("Tab")
    expect(box).to_have_value("0")
    run(page)


def test_the_ruler_draws_every_token(open_page, url):
    page = open_page(url)
    run(page)
    page.get_by_role("tab", name="Pixel ruler").click()
    expect(page.locator("#ruler figure svg .vl-grid")).to_be_visible()
    expect(page.locator("#ruler")).to_contain_text("12 x 12 (rows x columns): 144 tokens")


def test_a_missing_model_gives_one_sentence_and_changes_nothing(open_page, url, tmp_path):
    page = open_page(url)
    before = page.locator("#model-line").inner_text()
    page.locator("#model-box button").first.click()
    page.locator("#load-model").click()
    expect(page.locator("#model-message")).to_contain_text("No model is named: type")
    for button in ("#look-up", "#load-model"):
        # A folder each: the message of the second names another one than that of the first.
        folder = tmp_path / button[1:]
        folder.mkdir()
        page.get_by_label("Model name or folder").fill(str(folder))
        page.keyboard.press("Enter")
        page.locator(button).click()
        expect(page.locator("#model-message")).to_contain_text(folder.name)
        expect(page.locator("#model-message")).to_contain_text("config.json is missing")
    (folder / "config.json").write_text("{}")
    page.locator("#look-up").click()
    expect(page.locator("#model-message")).to_contain_text("nothing is downloaded")
    page.locator("#load-model").click()
    expect(page.locator("#model-message")).to_contain_text("No vision-language model could be")
    expect(page.locator("#load-model")).to_be_enabled()
    expect(page.locator("#run")).to_be_enabled()
    assert page.locator("#model-line").inner_text() == before


def test_two_tabs_share_no_answers(open_page, url):
    first, other = open_page(url), open_page(url)
    run(first)
    expect(other.locator("#answers .vl-card")).to_have_count(0)
    expect(other.locator("#body")).to_be_hidden()
    expect(first.locator("#answers .vl-card")).to_have_count(2)


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1440, "light")])
def test_nothing_overflows(open_page, url, width, theme):
    page = open_page(url, width=width, theme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    run(page)
    page.locator("#curves svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shoot(page, f"{theme}-{width}")


@pytest.mark.skipif(not HAS_MODEL, reason="the recordings are of the bundled model")
def test_the_first_screen_shows_the_point_without_a_click_or_a_scroll(open_page, shipped_url):
    page = open_page(shipped_url, width=1366, height=768)
    first = json.loads((ASSETS / "examples" / "examples.json").read_text())[0]
    assert first["vif"] == first["truth"] != first["plain"]
    expect(page.locator("#headline")).to_have_text(
        f"Same model, same picture. Without steering, it answers {first['plain']}. Steered to "
        f"look, it answers {first['vif']}."
    )
    for place in ("#headline", "#run", "#examples button >> nth=4", '[data-act="play"]'):
        expect(page.locator(place)).to_be_in_viewport(ratio=1)
    for method in ("plain", "vif"):
        expect(card(page, method).locator("canvas")).to_be_in_viewport(ratio=1)
    expect(card(page, "plain")).to_contain_text(f"P({first['truth']})")
    expect(page.locator(".vl-where")).to_contain_text("steered")
    expect(page.locator("#spoken")).to_have_text(
        f"Plain answers {first['plain']}, which is wrong. VIF answers {first['vif']}, which is "
        "right."
    )
    labels = page.locator("#examples button").all_inner_texts()
    assert {"Fixed by VIF", "Not needed", "Lost in text", "Still wrong", "Broken by VIF"} <= {
        label.strip() for label in labels
    }
    shoot(page, "first")


@pytest.mark.skipif(not HAS_MODEL, reason="the recordings are of the bundled model")
def test_an_example_answers_on_click_and_a_new_scene_makes_it_stale(open_page, shipped_url):
    page = open_page(shipped_url)
    page.get_by_role("button", name="Lost in text").click()
    expect(page.locator(".vl-asked")).to_contain_text("after 192 tokens of unrelated text")
    expect(page.locator("#headline")).to_contain_text("Steered to look, it answers")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#answers .vl-stale")).to_be_hidden()
    page.locator("#draw").click()
    expect(page.locator("#answers .vl-stale")).to_be_visible()
    expect(page.locator("#run")).to_be_in_viewport()


@pytest.mark.skipif(not HAS_MODEL, reason="the recordings are of the bundled model")
def test_a_phone_shows_run_at_all_times_and_is_not_endless(open_page, shipped_url):
    page = open_page(shipped_url, width=390, height=844)
    expect(page.locator("#run")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollHeight") < 3000
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(COVERED) == [], "something is drawn over Run"
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#run")).to_be_in_viewport(ratio=1)
    shoot(page, "phone")


@pytest.mark.skipif(not HAS_MODEL, reason="the recordings are of the bundled model")
def test_research_mode_and_projector_type_are_in_the_address(open_page, shipped_url):
    page = open_page(shipped_url, query="&mode=research&projector=1")
    expect(page.locator("#methods")).to_be_visible()
    expect(page.locator('[data-view="head"]')).to_be_visible()
    expect(page.get_by_role("button", name="Projector")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Projector").click()
    assert "projector" not in page.url
    assert "mode=research" in page.url
