"""A family that is not listed is checked at load, or refused in one sentence."""

from dataclasses import replace

import pytest
import torch

from vif import load
from vif.__main__ import main
from vif.check import TINY, build, models
from vif.check.proof import load_proved, proof_table, prove, refuse_unproved
from vif.check.ramp import ramp_error
from vif.errors import InputError
from vif.model import attention, families
from vif.model.backbone import Backbone
from vif.model.families import unlisted, whole

# One grid that the inputs or the number of tokens tell, and layouts that no guess finds.
GRIDS = ("llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "gemma3", "paligemma")
OTHERS = ("llava_next", "llava_onevision", "smolvlm", "internvl")


@pytest.fixture
def unlist(monkeypatch):
    """Removes a family from the list; returns its tiny model under an unknown type."""

    def make(name):
        known = tuple(family for family in families.FAMILIES if family.model_type != name)
        monkeypatch.setattr(families, "FAMILIES", known)
        model, processor = build(name)
        if name == "paligemma":
            processor.chat_template = "{{ messages[0]['content'][1]['text'] }}"
        return Backbone(model, processor, f"unlisted {name}", allow_unlisted=True)

    return make


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_is_found_and_proved(unlist, name):
    backbone = unlist(name)
    assert not backbone.family.is_listed
    steps = prove(backbone)
    assert all(step.holds for step in steps), proof_table(steps)
    assert len(steps) == 5
    refuse_unproved(backbone)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_a_plain_grid_is_refused_in_one_sentence(unlist, name):
    with pytest.raises(InputError, match=r"^[^.]+ not listed, [^.]+(\.\d[^.]*)*\.$"):
        refuse_unproved(unlist(name))


def test_swapped_rows_and_columns_are_detected(unlist, monkeypatch):
    backbone = unlist("qwen2_5_vl")

    def turned(picture):
        layout = whole.qwen_grid(picture)
        rows, columns = layout.grids[0].rows, layout.grids[0].columns
        cells = layout.cells.reshape(rows, columns, 4)[::-1].reshape(-1, 4)
        return replace(layout, cells=cells)

    backbone.family = replace(backbone.family, layout=turned)
    with pytest.raises(InputError, match="found an error of"):
        refuse_unproved(backbone)


def test_wrong_rows_are_detected(unlist, monkeypatch):
    backbone = unlist("qwen2_5_vl")
    row = attention.last_row
    monkeypatch.setattr(attention, "last_row", lambda *a: row(*a).roll(1, -1))
    with pytest.raises(InputError, match="rows, full softmax"):
        refuse_unproved(backbone)


def test_either_pattern_tells_the_place(unlist):
    backbone = unlist("qwen2_5_vl")
    for turned in (False, True):
        assert ramp_error(backbone, (200, 120), turned=turned) < 0.2


def test_numbers_that_make_no_grid_are_named():
    class Processor:
        image_processor = None

    config = type("Config", (), {"model_type": "new", "vision_config": None})
    picture = families.Picture(config, Processor(), (9, 9), {}, 15)
    with pytest.raises(InputError, match="15 image tokens form no grid"):
        unlisted.guessed_grid(picture)
    frames = {"image_grid_thw": torch.tensor([[2, 4, 4]])}
    with pytest.raises(InputError, match="8 image tokens form no grid"):
        unlisted.guessed_grid(replace(picture, inputs=frames, number=8))


def test_a_saved_model_of_an_unlisted_family_is_loaded_and_checked(monkeypatch, tmp_path, capsys):
    known = tuple(f for f in families.FAMILIES if f.model_type not in ("qwen2_5_vl", "llava_next"))
    monkeypatch.setattr(families, "FAMILIES", known)
    for name in ("qwen2_5_vl", "llava_next"):
        for part in build(name):
            part.save_pretrained(tmp_path / name)
    session = load(tmp_path / "qwen2_5_vl", device="cpu")
    assert session.backbone.family.layout is unlisted.guessed_grid
    with pytest.raises(InputError, match="'llava_next' are not listed"):
        load_proved(tmp_path / "llava_next", device="cpu")
    assert main(["check", str(tmp_path / "qwen2_5_vl"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("ramp, ") == 4
    assert "rows, full softmax" in printed
    assert "FAILED" not in printed


def test_a_type_that_transformers_knows_no_processor_of_is_read_by_the_one_it_names(tmp_path):
    """GLM-OCR is on no list, here or among transformers' processors; its own reads videos too."""
    glm = TINY["glm4v"]
    processor = models._processor(glm)
    tiny = replace(
        glm,
        config="GlmOcrConfig",
        text=glm.text | {"model_type": "glm_ocr_text"},
        vision=glm.vision | {"model_type": "glm_ocr_vision"},
    )
    models._model(tiny, processor.tokenizer, 0).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    backbone = load_proved(tmp_path, device="cpu")
    assert backbone.family.model_type == "glm_ocr"
    assert not backbone.family.is_listed


def test_an_unlisted_family_is_not_taken_without_a_proof():
    model, processor = build("qwen2_5_vl")
    model.config.model_type = "new"
    with pytest.raises(InputError, match="'new' are not supported yet"):
        Backbone(model, processor, "new")
    assert set(GRIDS) | set(OTHERS) <= set(TINY)
