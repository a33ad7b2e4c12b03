"""The bundled model and adapter load, answer, and do what the page says about them."""

import json
from pathlib import Path

import pytest
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaForConditionalGeneration

import vif
from training.reproduce import make_report
from vif import bundle
from vif.scenes import ask_scene, draw_scene, is_correct

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "assets"


@pytest.fixture(scope="module")
def bundled():
    return vif.load(ASSETS / "demo-vlm", ASSETS / "demo-vif")


def test_the_bundled_model_is_an_ordinary_checkpoint():
    model = AutoModelForImageTextToText.from_pretrained(ASSETS / "demo-vlm")
    processor = AutoProcessor.from_pretrained(ASSETS / "demo-vlm")
    assert isinstance(model, LlavaForConditionalGeneration)
    assert model.config.text_config.num_hidden_layers >= 8
    assert model.config.image_seq_length >= 144
    scene = draw_scene(0)
    content = [{"type": "image"}, {"type": "text", "text": "What colour is the star?"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    inputs = processor(text=[text], images=[scene.image], return_tensors="pt").to(model.dtype)
    out = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    answer = processor.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer.strip() in vif.scenes.COLOURS


def test_every_shipped_file_is_small():
    for path in (ASSETS / "demo-vlm").iterdir():
        assert path.stat().st_size < 10_000_000, path


def test_the_bundled_model_answers_far_above_chance(bundled):
    """Far above chance (1 in 8) on the easiest family; the bench has the real figures."""
    right = []
    for seed in range(30):
        scene = draw_scene(seed, "validation")
        for question in ask_scene(scene, seed):
            if question.family in ("colour", "tiny"):
                trace = bundled.ask(scene.image, question.text, ["plain"], max_new_tokens=4)
                right.append(is_correct(trace["plain"].answer, question.answer))
    assert sum(right) / len(right) > 0.5


@pytest.mark.parametrize(
    "question",
    [
        "what colour is the STAR",
        "hey!! what's the colour of the star, por favor?",
        "???",
        "émile 7 €",
    ],
)
def test_free_wording_gets_an_answer(bundled, question):
    trace = bundled.ask(draw_scene(0).image, question, ["plain", "vif"], max_new_tokens=6)
    assert trace["plain"].tokens
    assert trace["vif"].tokens


def test_examples_answer_as_noted(bundled):
    listing = json.loads((ASSETS / "examples" / "examples.json").read_text())
    assert len(listing) >= 4
    for entry in listing:
        image = Image.open(ASSETS / "examples" / entry["image"])
        context = vif.scenes.unrelated_text(vif.scenes.text.SHOWN_TEXT_SEED, entry["text"])
        traces = bundled.ask(image, entry["question"], context=context)
        assert {name: traces[name].answer for name in ("plain", "vif")} == {
            name: entry[name] for name in ("plain", "vif")
        }


def test_recorded_answers_are_those_of_the_bundled_model(bundled):
    for entry in json.loads((ASSETS / "examples" / "examples.json").read_text()):
        saved = bundle.read(ASSETS / "examples" / entry["recorded"])
        assert saved.question == entry["question"]
        assert {name: trace.answer for name, trace in saved.traces.items()} == {
            name: entry[name] for name in ("plain", "vif")
        }
        # Another adapter is recorded anew: python -m training.reproduce.make_examples
        assert saved.provenance["adapter"] == bundled.adapter.fingerprint


def test_the_pages_show_the_results_that_are_there():
    tables, shown = make_report.sections(ASSETS / "results"), set()
    for page in make_report.PAGES:
        text = (ROOT / page).read_text()
        assert make_report.fill(text, tables) == text
        shown |= {name for name in tables if f"<!-- {name} -->" in text}
    assert shown == set(tables)


def test_nobody_is_told_where_the_model_lies_on_the_server(bundled):
    assert bundled.name == "demo-vlm"
    trace = bundled.ask(draw_scene(0).image, "What?", ["plain"], max_new_tokens=1)["plain"]
    assert trace.meta["model"] == "demo-vlm"
