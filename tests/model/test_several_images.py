"""Several images in one prompt: the question is about one, the others are context."""

import numpy as np
import pytest
import torch

from tests.support.asking import BOX, PLACE, QUESTION, noise, session_of
from vif import methods
from vif.check import TINY, tiny_adapter, tiny_backbone
from vif.check.parity import _REFERENCE, FullRowTap, MixAll, _answer, _through
from vif.check.ramp import ramp_error
from vif.errors import InputError
from vif.methods.vif import rows_read
from vif.model.batch import Batch
from vif.model.families import FAMILIES
from vif.probes.base import open_prompt
from vif.question import MOST_IMAGES, Question
from vif.recording import Recorder
from vif.session import Session
from vif.trace import MASS_PARTS

ORACLE = ("llava", "llava_onevision", "qwen2_vl", "qwen3_vl", "idefics3", "smolvlm", "gemma3")
IMAGES = [noise(1, (100, 60)), noise(2, (64, 64)), noise(3, (60, 100))]
# Methods that compare with an answer without the image, noise it, or read its tower.
COMPARING = ("flowcut", "inter", "mustdrop", "paint", "pai", "vcd", "vflowopt", "vhr")
IMAGE, OTHERS = MASS_PARTS.index("image"), MASS_PARTS.index("other images")


@pytest.fixture(scope="module", params=ORACLE)
def session(request):
    return Session(tiny_backbone(request.param), tiny_adapter())


@pytest.fixture(params=[name for name in TINY if not name.startswith(("paligemma", "paddleocr"))])
def backbone(request):
    return tiny_backbone(request.param)


def asked(chosen, images=IMAGES):
    return Question.among(images, chosen, QUESTION)


def place_known(**others):
    return Question(IMAGES[1], QUESTION, boxes=BOX, look=PLACE, **others)


def answered(session, question, name="plain"):
    return session.ask(question, methods=[name], max_new_tokens=3)[name]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_tokens_of_the_chosen_image_look_at_it(backbone, place):
    assert ramp_error(backbone, (100, 60), 24, others=((64, 64), (60, 100)), place=place) < 0.5


def test_choosing_another_image_measures_the_same_pass_with_another_mask(session):
    backbone = session.backbone
    prompts = [session.encode(asked(i).opened()) for i in range(3)]
    for prompt in prompts[1:]:
        assert torch.equal(prompt.inputs["input_ids"], prompts[0].inputs["input_ids"])
        assert prompt.first_row == prompts[0].first_row
    every = torch.cat([prompt.image for prompt in prompts])
    assert torch.equal(every, every.sort().values)
    assert len(every.unique()) == len(prompts[0].image) + len(prompts[0].other_tokens)

    tap = FullRowTap(Batch.make(backbone, prompts[:1]))
    generated, _ = _answer(backbone, tap)
    whole = torch.stack(tap.full[: backbone.num_layers])[:, 0].numpy()
    for chosen, prompt in enumerate(prompts):
        trace = answered(session, asked(chosen))
        assert trace.tokens == [
            backbone.processor.tokenizer.decode([int(step[0])]) for step in generated.tokens[:3]
        ]
        # Every layer's first record is the prompt's last row; windows keep all of these prompts.
        want = whole[..., prompt.image.numpy()]
        assert np.allclose(trace.rows[0], want, atol=1e-6)
        assert np.allclose(trace.mass[0, ..., IMAGE], want.sum(-1), atol=1e-6)
        beside = whole[..., prompt.other_tokens.numpy()].sum(-1)
        assert np.allclose(trace.mass[0, ..., OTHERS], beside, atol=1e-6)
        assert trace.mass[0, ..., OTHERS].min() > 0
        assert np.allclose(trace.mass.sum(-1), 1, atol=1e-5)


def test_a_map_is_mixed_into_the_chosen_image_alone(session):
    backbone = session.backbone
    prompt = session.encode(asked(1).opened())
    batch = Batch.make(backbone, [prompt])
    mine, plain = _answer(backbone, MixAll(backbone, batch)), _answer(backbone, Recorder(batch))
    with _through(backbone, _REFERENCE):
        theirs = _answer(backbone, MixAll(backbone, batch))
    for step, other in zip(mine[0].top, theirs[0].top, strict=True):
        assert torch.allclose(step[1], other[1], atol=1e-4)
    assert not torch.allclose(mine[0].top[0][1], plain[0].top[0][1], atol=1e-3)


def test_vif_steers_to_the_chosen_image(session):
    plain, steered = (answered(session, asked(2), name) for name in ("plain", "vif"))
    layer = steered.mixtures[0].layer
    assert steered.mixtures[0].map.shape == (plain.rows.shape[-1],)
    gained = steered.mass[0, layer].mean(0) - plain.mass[0, layer].mean(0)
    assert gained[IMAGE] > 0
    assert gained[OTHERS] < 0


def test_a_padded_batch_equals_single_prompts(session):
    questions = [asked(1), Question.among(IMAGES[1::-1], 0, QUESTION, "a red star .")]
    together = session.ask_batch(questions, ["plain"], session.defaults.changed(max_new_tokens=3))
    for question, many in zip(questions, together["plain"], strict=True):
        alone = answered(session, question)
        assert alone.tokens == many.tokens
        assert np.allclose(alone.rows, many.rows, atol=1e-4)
        assert np.allclose(alone.mass, many.mass, atol=1e-4)


def test_one_image_is_asked_as_before(session):
    """Without other images nothing changes: the prompt is what the processor makes of one image."""
    backbone = session.backbone
    prompt = session.encode(Question(IMAGES[0], QUESTION).opened())
    rendered = backbone.render(QUESTION)
    made = backbone.process(rendered, IMAGES[0])
    assert all(torch.equal(prompt.inputs[name], made[name]) for name in made)
    ids = made["input_ids"][0]
    assert torch.equal(prompt.image, (ids == backbone.image_token_id).nonzero().squeeze(1))
    assert len(prompt.other_tokens) == 0
    batch = Batch.make(backbone, [prompt])
    assert batch.first_row.tolist() == (batch.columns.max(1).values + 1).tolist()
    assert not answered(session, Question(IMAGES[0], QUESTION)).mass[..., OTHERS].any()


def test_a_prompt_read_again_shares_all_its_images(session):
    reading = open_prompt(session, asked(0))
    found = reading.logprobs(lambda _: Recorder(reading.batch), 2)
    with torch.no_grad():
        logits = session.backbone.model(**session.backbone.collate([reading.prompt])).logits
    want = logits[0, -1].float().log_softmax(-1)
    assert torch.allclose(found[:, 0], want.expand(2, -1), atol=1e-3)


@pytest.mark.parametrize("name", sorted({*methods.names()} - {*COMPARING}))
def test_methods_take_several_images(name):
    trace = answered(session_of("llava"), place_known(others=(IMAGES[0], IMAGES[2]), place=1), name)
    assert trace.meta["images"] == 3
    assert np.allclose(trace.mass.sum(-1), 1, atol=1e-4)


@pytest.mark.parametrize("name", COMPARING)
def test_methods_that_need_one_image_say_so_in_a_sentence(name):
    session = session_of("llava")
    with pytest.raises(InputError, match=r"^[^.]+ needs a prompt with one image, [^.]+\.$"):
        answered(session, place_known(others=(IMAGES[0],)), name)
    assert answered(session, place_known(), name).tokens


def test_families_of_one_image_refuse_others_in_a_sentence():
    single = {family.model_type for family in FAMILIES if not family.takes_several}
    assert single == {"paligemma", "paddleocr_vl"}
    for name in single:
        session = Session(tiny_backbone(name))
        with pytest.raises(InputError, match=r"^3 images were given, but models of type [^.]+\.$"):
            session.ask(asked(0), methods=["plain"])


def test_wrong_choices_are_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"^Image 3 of 3 was chosen: [^.]+\.$"):
        asked(3)
    with pytest.raises(InputError, match=r"^The image was placed after 2 of 1 [^.]+\.$"):
        Question(IMAGES[0], QUESTION, others=IMAGES[1:2], place=2).opened()
    many = [IMAGES[0]] * MOST_IMAGES
    with pytest.raises(InputError, match=rf"^{MOST_IMAGES + 1} images were given, [^.]+\.$"):
        Question(IMAGES[0], QUESTION, others=many).opened()


def test_an_adapter_that_reads_the_whole_prompt_reads_no_image(session):
    adapter = tiny_adapter()
    adapter.reads_whole_prompt = True
    prompt = session.encode(asked(1).opened())
    batch = Batch.make(session.backbone, [prompt, session.encode(asked(1).opened())])
    read = rows_read(adapter, batch)
    every = torch.cat([prompt.image, prompt.other_tokens])
    assert not read[:, every].any()
    assert read.sum(1).tolist() == [prompt.length - len(every)] * 2
