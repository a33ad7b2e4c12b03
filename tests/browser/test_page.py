import pytest
from playwright.sync_api import expect

from tests.browser.conftest import choose, leave_out, run, shoot
from tests.fake_session import BREAKING


def question(page):
    return page.locator("#question textarea")


def caption(page, method="plain"):
    return page.locator(f'#maps [data-method="{method}"] figcaption')


def test_it_says_what_to_do_and_what_will_appear(open_page, url):
    page = open_page(url)
    expect(page.locator("#cards")).to_contain_text("answer twice")
    expect(question(page)).not_to_have_value("")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#body")).to_be_hidden()
    shoot(page, "empty")


def test_a_new_scene_is_answered_twice(open_page, url):
    page = open_page(url)
    before = page.locator("#picture img").get_attribute("src")
    page.locator("#draw").click()
    expect(page.locator("#picture img")).not_to_have_attribute("src", before)
    page.locator("#suggestions button").nth(1).click()
    chosen = page.locator("#suggestions button").nth(1).inner_text()
    expect(question(page)).to_have_value(chosen)
    run(page)
    for method in ("plain", "vif"):
        card = page.locator(f'#cards [data-method="{method}"]')
        expect(card.locator(".vl-answer")).not_to_be_empty()
        expect(card.locator(".vl-verdict")).to_be_visible()
        expect(page.locator(f'#maps [data-method="{method}"] img').first).to_be_visible()
    expect(page.locator("#curves .js-plotly-plot")).to_be_visible()
    shoot(page, "answered")


def test_an_example_fills_picture_and_question(open_page, url, examples):
    page = open_page(url)
    page.locator("#draw").click()
    expect(question(page)).not_to_have_value(examples.question)
    page.locator("#examples button").first.click()
    expect(question(page)).to_have_value(examples.question)
    expect(page.locator("#message")).to_contain_text("Look closely.")


def test_plain_alone_and_vif_steered_elsewhere(open_page, url):
    page = open_page(url)
    leave_out(page, "With VIF")
    expect(page.locator("#settings")).to_be_hidden()
    run(page)
    expect(page.locator("#cards .vl-card")).to_have_count(1)
    page.get_by_role("tab", name="Mixture").click()
    expect(page.locator("#mixture")).to_contain_text("Nothing was injected")
    choose(page, "With VIF")
    page.get_by_label("Injection layers from").fill("6")
    page.get_by_label("Injection layers from").press("Tab")
    expect(page.locator("#plan .vl-is-injection")).to_have_count(2)
    run(page)
    expect(page.locator("#cards .vl-card")).to_have_count(3)
    expect(page.locator("#injected label")).to_have_text(["Layer 6", "Layer 7"])
    page.locator("#injected label").nth(1).click()
    expect(page.locator("#mixture")).to_contain_text("Injection layer 7")
    page.locator("#mixture .vl-rank").first.click()
    expect(page.locator("#mixture g.vl-chosen")).to_have_count(1)
    shoot(page, "mixture")


def test_picking_layer_head_and_token_redraws_without_the_model(answered):
    page = answered
    expect(caption(page)).to_contain_text("Layer 7, mean of heads, token 1")
    page.get_by_role("tab", name="All layers").click()
    page.locator('#sheet [data-pick="2"]').first.click()
    expect(caption(page)).to_contain_text("Layer 2, mean of heads")
    expect(page.get_by_label("range slider for Layer")).to_have_value("2")
    expect(page.locator('#sheet [data-pick="2"][aria-pressed="true"]')).to_have_count(2)
    shoot(page, "sheet")
    page.get_by_label("Mean of all layers").check()
    expect(caption(page)).to_contain_text("Mean of all layers")
    page.get_by_label("range slider for Layer").fill("5")
    expect(caption(page)).to_contain_text("Layer 5, ")
    page.get_by_label("Heads").click()
    page.get_by_role("option", name="Head 1", exact=True).click()
    expect(caption(page, "vif")).to_contain_text("head 1")
    page.locator('#cards [data-method="plain"] .vl-token').last.focus()
    page.keyboard.press("Enter")
    expect(caption(page)).not_to_contain_text("token 1 ")
    expect(page.locator("#run")).to_have_text("Run")


def test_everything_can_be_saved(answered):
    page = answered
    page.get_by_role("tab", name="Save").click()
    page.locator("#prepare").click()
    expect(page.locator("#files")).to_contain_text("answers")
    expect(page.locator("#script")).to_contain_text("Trace")
    run(page)
    expect(page.locator("#files")).to_be_hidden()
    expect(page.locator("#script")).to_be_hidden()


def test_a_problem_is_one_sentence_and_changes_nothing_else(answered, tmp_path):
    page = answered
    old = page.locator("#cards").inner_html()
    question(page).fill("")
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no question")
    shoot(page, "problem")
    question(page).fill("Is this kept?")
    page.get_by_label("Remove Image").click()
    bad = tmp_path / "notes.png"
    bad.write_text("no picture")
    page.locator("#picture input[type=file]").set_input_files(bad)
    page.locator("#picture img").wait_for(state="attached")
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("notes.png")
    expect(question(page)).to_have_value("Is this kept?")
    expect(page.locator("#run")).to_be_enabled()
    assert page.locator("#cards").inner_html() == old


def test_more_text_before_the_question_is_shown_and_counted(open_page, url):
    page = open_page(url)
    page.get_by_label("range slider for Unrelated text").fill("128")
    page.locator("#show-text button").first.click()
    expect(page.locator("#context textarea")).not_to_have_value("")
    expect(page.locator("#text-note")).to_contain_text("tokens before the question")
    run(page)
    expect(page.locator("#cards .vl-card")).to_have_count(3)


def test_a_double_click_runs_once(open_page, url, session, monkeypatch):
    asked, ask = [], session.ask

    def count(*args, **kwargs):
        asked.append(kwargs)
        return ask(*args, **kwargs)

    monkeypatch.setattr(session, "ask", count)
    page = open_page(url)
    page.locator("#run").dblclick()
    expect(page.locator("#cards .vl-card")).to_have_count(3)
    expect(page.locator("#run")).to_have_text("Run")
    assert len(asked) == 1


def test_a_run_that_is_stopped_or_breaks_says_so(open_page, slow_url):
    page = open_page(slow_url)
    expect(page.locator("#method-lines")).to_contain_text("one extra pass")
    page.locator("#run").click()
    expect(page.locator("#stop")).to_be_enabled()
    page.locator("#stop").click()
    expect(page.locator("#message")).to_contain_text("Stopped.")
    expect(page.locator("#run")).to_be_enabled()
    question(page).fill(BREAKING)
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("The model stopped with an error")
    expect(page.locator("#run")).to_be_enabled()


def test_a_run_that_waits_its_turn_says_so(open_page, slow_url):
    first, second = open_page(slow_url), open_page(slow_url)
    first.locator("#run").click()
    expect(first.locator("#message")).to_contain_text("The model is answering")
    second.locator("#run").click()
    expect(second.locator("#message")).to_contain_text("Waiting for the model")
    expect(second.locator("#run")).to_be_disabled()
    first.locator("#stop").click()
    expect(second.locator("#message")).to_contain_text("The model is answering")
    second.locator("#stop").click()
    for page in (first, second):
        expect(page.locator("#message")).to_contain_text("Stopped.")
        expect(page.locator("#run")).to_be_enabled()


def test_an_emptied_number_is_no_error(open_page, url):
    page = open_page(url)
    for label, empty in (("Unrelated text, tokens", "0"), ("Layer", "0")):
        if label == "Layer":
            run(page)
        box = page.get_by_label(f"number input for {label}", exact=True)
        for value in ("", "9999", ""):
            box.fill(value)
        box.press("Tab")
        expect(box).to_have_value(empty)
    expect(caption(page)).to_contain_text("Layer 0, ")


def test_the_ruler_draws_every_token(answered):
    page = answered
    page.get_by_role("tab", name="Pixel ruler").click()
    expect(page.locator("#ruler figure svg .vl-grid")).to_be_visible()
    expect(page.locator("#ruler")).to_contain_text("12 x 12 (rows x columns): 144 tokens")
    shoot(page, "ruler")


def test_a_model_that_is_missing_is_one_sentence_and_changes_nothing(open_page, url, tmp_path):
    page = open_page(url)
    before = page.locator("#model-line").inner_text()
    page.locator("#model-box button").first.click()
    page.locator("#load-model").click()
    expect(page.locator("#model-message")).to_contain_text("There is no model: type")
    page.get_by_label("Model", exact=True).fill(str(tmp_path))
    for button in ("#look-up", "#load-model"):
        page.locator(button).click()
        expect(page.locator("#model-message")).to_contain_text("config.json is missing")
    (tmp_path / "config.json").write_text("{}")
    page.locator("#look-up").click()
    expect(page.locator("#model-message")).to_contain_text("nothing is downloaded")
    page.locator("#load-model").click()
    expect(page.locator("#model-message")).to_contain_text("No vision-language model could be")
    expect(page.locator("#load-model")).to_be_enabled()
    expect(page.locator("#run")).to_be_enabled()
    assert page.locator("#model-line").inner_text() == before
    shoot(page, "model-box")


def test_two_tabs_never_meet(answered, open_page, url):
    other = open_page(url)
    expect(other.locator("#cards .vl-card")).to_have_count(0)
    expect(other.locator("#body")).to_be_hidden()
    expect(answered.locator("#cards .vl-card")).to_have_count(3)


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1440, "light")])
def test_nothing_overflows(open_page, url, width, theme):
    page = open_page(url, width=width, theme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    run(page)
    page.locator("#curves .js-plotly-plot").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shoot(page, f"{theme}-{width}")
