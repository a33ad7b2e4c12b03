"""The attenuation ladder against questions asked one by one; the shipped examples climb it."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import vif
from vif import metrics
from vif.errors import InputError
from vif.methods.forced import Forced
from vif.model.generation import Cancelled, open_stream
from vif.probes import attenuation_ladder
from vif.probes.ladder import falls
from vif.question import Question
from vif.scenes import unrelated_text
from vif.scenes.text import SHOWN_TEXT_SEED

QUESTION, BOX = "What colour is the star?", [(0.1, 0.1, 0.4, 0.5)]


def asked(image, answer="red", boxes=None):
    return Question(image, QUESTION, boxes=boxes, answer=answer)


def text_of(length):
    return unrelated_text(SHOWN_TEXT_SEED, length)


def test_a_rung_is_the_question_asked_alone(session, image):
    found = attenuation_ladder(session, asked(image, boxes=BOX), lengths=(0, 17))
    target = session.backbone.answer_ids("red")
    for r, length in enumerate((0, 17)):
        alone = session.ask(
            image, QUESTION, context=text_of(length), boxes=BOX, max_new_tokens=1
        )  # fmt: skip
        for m, name in enumerate(found.methods):
            trace = alone[name]
            covered = metrics.box_coverage(trace.cells, BOX)
            assert found.share[m, r] == pytest.approx(metrics.image_share(trace), abs=1e-5)
            expected = metrics.in_box_mass(trace, covered)
            assert found.in_box[m, r] == pytest.approx(expected, abs=1e-5)
            if trace.alternatives[0][0][0] == "red":
                assert found.probability[m, r] == pytest.approx(trace.alternatives[0][0][1])
    prompt = session.request([Question(image, QUESTION, text_of(17))], session.defaults).batch
    logits = open_stream(session.backbone.model, dict(prompt.inputs)).advance()
    expected = float(logits.softmax(-1)[0, target[0]])
    assert found.probability[0, 1] == pytest.approx(expected, rel=1e-4)


def test_an_answer_of_several_tokens_is_the_product_of_its_steps(session, image):
    found = attenuation_ladder(session, asked(image, "top left"), ["plain"], lengths=(0,))
    ids = session.backbone.answer_ids("top left")
    assert len(ids) == 2
    batch = session.request([Question(image, QUESTION)], session.defaults).batch
    stream, total = open_stream(session.backbone.model, dict(batch.inputs)), 0.0
    for token in ids:
        total += float(stream.advance().log_softmax(-1)[0, token])
        stream.feed(torch.tensor([token]))
    assert np.log(found.probability[0, 0]) == pytest.approx(total, rel=1e-4)
    assert np.isnan(found.in_box).all()


def test_the_forced_answer_ends_at_the_first_wrong_token():
    forced = Forced(vif.methods.find("plain"), [[1, 2], [1, 2]])
    forced.scores = [torch.eye(4)[[1, 3]], torch.eye(4)[[2, 2]]]
    assert forced.liked() == [[1, 2], [3]]


def test_rising_is_told_apart_from_noise():
    assert falls(np.array([0.9, 0.5, 0.52, 0.1]))
    assert not falls(np.array([0.1, 0.2]))
    assert not falls(np.array([0.5, 0.54, 0.58]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": "  "}, "The answer is empty"),
        ({"answer": "zebra"}, "has no token for a word of the answer 'zebra'"),
        ({"lengths": (64, 0)}, "expected numbers from 0, ascending"),
        ({"lengths": ()}, "expected numbers from 0, ascending"),
    ],
)
def test_a_ladder_that_cannot_be_made_is_reported(session, image, change, words):
    answer = change.pop("answer", "red")
    with pytest.raises(InputError, match=words):
        attenuation_ladder(session, asked(image, answer), **change)


def test_a_ladder_can_be_stopped(session, image):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        attenuation_ladder(session, asked(image), lengths=(0,), cancel=cancel)


def test_defaults_are_those_of_the_session(session, image):
    again = replace(session.defaults, alpha=0.0)
    found = attenuation_ladder(session, asked(image), lengths=(0, 9), settings=again)
    assert found.probability[1] == pytest.approx(found.probability[0], abs=1e-6)
