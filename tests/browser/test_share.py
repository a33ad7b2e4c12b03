"""Sharing: a zip and a link opened in another browser, and those that cannot be opened."""

import json
import re
import zipfile

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ASSETS, HAS_MODEL, ready, run, watched

pytestmark = pytest.mark.skipif(not HAS_MODEL, reason="the recordings are of the bundled model")
RECORDED = ASSETS / "examples" / "scene-3.zip"
MODEL = "model=demo-vlm"


def choose_zip(page, path):
    page.locator("input[type=file]:has(+ #open-zip)").set_input_files(path)


def changed(path, **parts):
    """A copy of a recorded zip with changes in its index."""
    with zipfile.ZipFile(RECORDED) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "bundle.json":
                data = json.dumps(json.loads(data) | parts).encode()
            new.writestr(name, data)
    return path


def show_example(page, label, layer):
    """Clicks an example, waits for its answers, chooses a layer; returns what was asked."""
    listed = json.loads((ASSETS / "examples" / "examples.json").read_text())
    example = next(one for one in listed if one["label"] == label)
    page.get_by_role("button", name=label).click()
    expect(page.locator(".vl-asked")).to_contain_text(example["question"])
    expect(page.locator("#run")).to_be_enabled()
    page.locator(f'.vl-strip [data-layer="{layer}"]').click()
    return example


def answers(page):
    return page.locator("#answers .vl-card .vl-answer").all_inner_texts()


@pytest.fixture
def asked(session, monkeypatch):
    """The questions that the model was asked."""
    found, ask = [], session.ask

    def count(question, **options):
        found.append(question.text)
        return ask(question, **options)

    monkeypatch.setattr(session, "ask", count)
    return found


def test_a_saved_zip_is_shown_again_without_asking(open_page, shipped_url, asked):
    page = ready(open_page(shipped_url))
    example = show_example(page, "Lost in text", layer=3)
    page.get_by_role("tab", name="Share", exact=True).click()
    expect(page.locator("#link textarea")).to_have_value(re.compile("view.layer=3"))
    page.locator("#prepare").click()
    saved = page.request.get(page.locator("#files a").first.get_attribute("href")).body()
    other = ready(open_page(shipped_url))
    choose_zip(other, {"name": "mine.zip", "mimeType": "application/zip", "buffer": saved})
    expect(other.locator(".vl-asked")).to_contain_text("opened from mine.zip")
    words = f"after {example['text']} tokens of unrelated text"
    expect(other.locator(".vl-asked")).to_contain_text(words)
    expect(other.locator(".vl-where")).to_contain_text("Layer 3")
    expect(other.locator("#answers .vl-stale")).to_be_hidden()
    expect(other.locator("#question textarea")).to_have_value(example["question"])
    assert answers(other) == answers(page)
    assert asked == []
    run(other)
    assert answers(other) == answers(page)
    assert asked == [example["question"]]


def test_a_zip_that_cannot_be_shown_gives_one_sentence(open_page, shipped_url, tmp_path):
    page = ready(open_page(shipped_url))
    before = answers(page)
    broken, huge = tmp_path / "broken.zip", tmp_path / "huge.zip"
    broken.write_bytes(RECORDED.read_bytes()[:5000])
    with zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", bytes(300_000_000))
    newer = changed(tmp_path / "newer.zip", version=99)
    for path, words in (
        (broken, "not a complete zip file"),
        (newer, "The zip has format 99"),
        (huge, "unpacks to more than 200 MB"),
    ):
        choose_zip(page, path)
        expect(page.locator("#message [role=alert]")).to_contain_text(words)
        expect(page.locator("#message [role=alert]")).to_be_in_viewport()
    assert answers(page) == before
    choose_zip(page, RECORDED)
    expect(page.locator(".vl-asked")).to_contain_text("opened from scene-3.zip")
    expect(page.locator("#message [role=alert]")).to_have_count(0)


def test_a_link_opens_the_same_view_in_another_browser(browser, open_page, shipped_url):
    page = ready(open_page(shipped_url))
    show_example(page, "Still wrong", layer=2)
    page.wait_for_url("**view.layer=2**")
    other = browser.browser.new_context()
    with watched(other) as opener:
        there = opener(shipped_url, query="&" + page.url.partition("?")[2])
        expect(there.locator(".vl-asked")).to_contain_text(
            page.locator("#question textarea").input_value()
        )
        expect(there.locator(".vl-where")).to_contain_text("Layer 2")
        expect(there.locator("#run")).to_be_enabled()
        expect(there.locator("#answers .vl-stale")).to_be_hidden()
        assert answers(there) == answers(page)
    other.close()


def test_a_link_brings_its_methods_settings_and_marked_place(open_page, shipped_url):
    query = f"&{MODEL}&scene=5&methods=plain+look&look=0.1+0.1+0.5+0.5&alpha=0.3"
    page = open_page(shipped_url, query=query)
    expect(page.locator('#answers [data-answer="look"]')).to_be_visible()
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#answers .vl-card")).to_have_count(2)
    expect(page.locator("#alpha input[type=number]")).to_have_value("0.3")
    page.locator("#look button").first.click()
    expect(page.locator(".vl-drawn")).to_have_count(1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("&scene=1&model=another-vlm", "made with the model 'another-vlm'"),
        ("&scene=many", "expected a whole number"),
        (f"&{MODEL}&scene=1&view.layer=99", "the model has layers 0 to 7"),
        (f"&{MODEL}&scene=1&q={'x' * 9000}", "expected at most 8000"),
    ],
    ids=["model", "scene", "layer", "long"],
)
def test_a_wrong_link_gives_one_sentence_and_leaves_the_page(open_page, shipped_url, query, words):
    page = open_page(shipped_url, query=query)
    expect(page.locator("#message [role=alert]")).to_contain_text(words)
    ready(page)
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#answers .vl-card")).to_have_count(2)
