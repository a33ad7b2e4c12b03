"""Logit lens: the last layer's words are the model's own, and every state is read."""

import numpy as np

from tests.support.asking import QUESTION, noise, request_of, session_of
from vif import probes
from vif.model.generation import open_stream
from vif.question import Question


def test_the_lens_ends_in_what_the_model_says():
    session = session_of("llava")
    backbone = session.backbone
    found = probes.logit_lens(session, Question(noise(), QUESTION), top=3)
    logits = open_stream(backbone.model, dict(request_of(session).batch.inputs)).advance()
    best = logits[0].softmax(-1).topk(3)
    said = [backbone.processor.tokenizer.decode([i]) for i in best.indices.tolist()]
    assert found.words[-1] == said
    assert found.answer == said[0]
    assert np.allclose(found.probabilities[-1], best.values.numpy(), atol=1e-4)
    assert found.rank[-1] == 0
    assert len(found.words) == session.num_layers
    number = request_of(session).batch.columns.shape[1]
    assert found.image_answer.shape == (session.num_layers - 1, number)
    assert {len(words) for words in found.image_words} == {number}
    assert (found.image_answer <= found.image_probabilities + 1e-6).all()
    assert set(found.as_json()) >= {"words", "rank", "image_words"}
