"""The families pass their checks, and a model that fails is refused at load."""

import numpy as np
import pytest
import torch
from torch import nn

from vif.__main__ import main
from vif.check import TINY, build, check_tiny, grid_table, parity, tiny_adapter, tiny_backbone
from vif.check.ramp import ramp_image
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.model.batch import Batch
from vif.question import Question
from vif.session import Session

QUESTION = "what colour is the star ?"


@pytest.fixture
def image():
    return ramp_image((100, 60))


@pytest.mark.parametrize("family", TINY)
def test_every_check_holds(family):
    outcomes = list(check_tiny(family))
    assert all(outcome.passed for outcome in outcomes), grid_table({family: outcomes})


def test_the_command_prints_the_errors_of_one_family(capsys):
    assert main(["check", "paligemma", "--tiny"]) == 0
    printed = capsys.readouterr().out
    for name in ("rows", "mix", "plain", "threads", "padding", "gradient", "ramp", "bf16"):
        assert name in printed
    assert "FAILED" not in printed


@pytest.mark.parametrize(
    "arguments", [[], ["--all"], ["llava", "--all", "--tiny"], ["x", "--tiny"]]
)
def test_the_command_says_what_it_needs(arguments, capsys):
    assert main(["check", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_failed_check_is_marked_and_changes_the_exit_status(monkeypatch, capsys):
    monkeypatch.setattr(parity.attention, "mix_row", lambda row, *_: row)
    assert main(["check", "llava", "--tiny"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_rows_that_lose_sight_of_the_image_are_what_the_long_check_is_about(monkeypatch):
    """Without the mask, rows outside Gemma's sliding window would be steered too."""
    steered = parity.attention.steered_rows
    monkeypatch.setattr(
        parity.attention, "steered_rows", lambda mix, mask, *rest: steered(mix, None, *rest)
    )
    with torch.no_grad():
        assert parity.long_mix_error(tiny_backbone("gemma3")) > 1e-2


def test_a_layer_outside_the_attention_interface_fails_closed():
    model, processor = build("llava")

    class Own(nn.Module):
        def forward(self, hidden_states, **_):
            return hidden_states, None

    model.get_decoder().layers[2].self_attn = Own()
    with pytest.raises(InputError, match=r"layers \[2\] do not go through"):
        Backbone(model, processor, "own attention")
    assert model.get_decoder().config._attn_implementation == "sdpa"
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_layers_that_take_no_further_keywords_fail_closed():
    model, processor = build("llava")

    class Closed(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, hidden_states, attention_mask=None, position_ids=None):
            return self.layer(hidden_states, attention_mask=attention_mask)

    decoder = model.get_decoder()
    decoder.layers[0] = Closed(decoder.layers[0])
    with pytest.raises(InputError, match="do not pass on the argument that records attention"):
        Backbone(model, processor, "closed layers")


def test_sampling_by_default_is_answered_greedily(image):
    session = Session(tiny_backbone("llava"))
    assert session.backbone.model.generation_config.do_sample
    answers = {session.ask(image, QUESTION, ["plain"])["plain"].answer for _ in range(3)}
    assert len(answers) == 1


def test_a_prompt_has_one_beginning_token(image):
    for family in ("gemma3", "llava", "paligemma"):
        backbone = tiny_backbone(family)
        begin = backbone.processor.tokenizer.bos_token_id
        ids = backbone.encode(image, QUESTION).inputs["input_ids"]
        assert (ids == begin).sum() == 1


@pytest.mark.parametrize("family", TINY)
def test_the_question_is_found_in_every_format(family, image):
    backbone = tiny_backbone(family)
    for context in ("", "the old ring is large ."):
        prompt = backbone.encode(image, QUESTION, context)
        ids = prompt.inputs["input_ids"][0, prompt.question.start : prompt.question.stop]
        assert backbone.processor.tokenizer.decode(ids) == QUESTION


def test_no_chat_template_and_no_known_format_gives_one_sentence(image):
    backbone = tiny_backbone("llava")
    backbone.processor.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        backbone.encode(image, QUESTION)


def test_a_prompt_longer_than_the_model_reads_gives_one_sentence(image):
    backbone = tiny_backbone("llava")
    backbone.text_config.max_position_embeddings = 40
    with pytest.raises(InputError, match="reads at most 40"):
        backbone.encode(image, QUESTION, "the small red ring is far left . " * 5)


def test_images_of_other_shapes_share_a_batch_if_their_tokens_are_as_many():
    """2 x 6 and 3 x 4 tokens: the smaller picture is padded, and each answer stays its own."""
    backbone = tiny_backbone("mistral3")
    items = [Question(ramp_image(size), QUESTION) for size in ((168, 56), (112, 84))]
    session = Session(backbone, tiny_adapter())
    together = session.ask_batch(items, ["vif"])["vif"]
    for item, many in zip(items, together, strict=True):
        alone = session.ask_batch([item], ["vif"])["vif"][0]
        assert alone.tokens == many.tokens
        assert np.allclose(alone.rows, many.rows, atol=1e-5)


def test_a_model_that_takes_no_features_gets_its_pixels(image, monkeypatch):
    backbone = tiny_backbone("llava")
    session = Session(backbone)
    before = session.ask(image, QUESTION, ["plain"], max_new_tokens=3)["plain"]
    monkeypatch.setattr(
        "vif.model.batch.inspect.signature", lambda _: type("S", (), {"parameters": {}})
    )
    batch = Batch.make(backbone, [backbone.encode(image, QUESTION)])
    assert "pixel_values" in batch.inputs
    monkeypatch.undo()
    model = backbone.model
    out = model.generate(**batch.inputs, do_sample=False, max_new_tokens=3)
    decode = backbone.processor.tokenizer.decode
    assert [decode([t]) for t in out[0, batch.inputs["input_ids"].shape[1] :]] == before.tokens
