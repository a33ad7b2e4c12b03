"""Maps that are not attention, pruning, and masks among image tokens."""

import numpy as np
import pytest
import torch

from tests.support.asking import BOX, ask, one, request_of, session_of
from vif.methods.edits.pruning import prune
from vif.methods.maps.base import MAPS
from vif.methods.papers.cca import _rings
from vif.model.attention import Tap
from vif.model.generation import open_stream
from vif.model.vocabulary import read_words


def defaults(found):
    return {option.name: option.default for option in found.options}


def made(session, name):
    with torch.no_grad():
        return MAPS[name].make(request_of(session, defaults(MAPS[name])))[0].numpy()


class States(Tap):
    def __init__(self):
        self.found = {}

    def layer_output(self, layer, states):
        self.found[layer] = states


class Shifted(Tap):
    """Adds an offset to the states of one layer."""

    def __init__(self, columns, by, layer=0):
        self.columns, self.by, self.layer = columns, by, layer

    def layer_output(self, layer, states):
        if layer == self.layer:
            states.data[:, self.columns] += self.by


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_saliency_is_what_a_small_change_of_a_state_does(family):
    """Gradient times input, against a difference along the state itself."""
    session = session_of(family)
    request = request_of(session)
    found = made(session, "saliency")
    columns = request.batch.columns[0]
    model, inputs = session.backbone.model, request.batch.inputs
    tap = States()
    first = open_stream(model, dict(inputs)).advance(tap).log_softmax(-1)
    token = int(first.argmax())
    slopes = []
    for column in columns[:6].tolist():
        state = tap.found[0][0, column]
        up, down = (
            open_stream(model, dict(inputs)).advance(Shifted([column], sign * 1e-2 * state))
            for sign in (1, -1)
        )
        gap = up.log_softmax(-1)[0, token] - down.log_softmax(-1)[0, token]
        slopes.append(abs(float(gap)) / 2e-2)
    visible = ~request.batch.centres[0].isnan().any(-1)
    expected = np.array(slopes) * visible[:6].numpy()
    scale = found[:6].sum() / expected.sum()
    assert found[:6] == pytest.approx(expected * scale, rel=0.1, abs=0.02 * float(found[:6].max()))


def test_relevancy_is_attention_times_its_gradient():
    """On one layer, against a difference: the weight of one token moved by hand."""
    session = session_of("llava")
    found = made(session, "relevancy")
    assert found.sum() == pytest.approx(1, abs=1e-5)
    attention = one(session, "plain").rows[0].mean((0, 1))
    # It is no attention: tokens that lower the answer's probability get nothing.
    assert np.corrcoef(found, attention)[0, 1] < 0.999
    again = made(session, "relevancy")
    assert np.array_equal(found, again)


def test_gradients_leave_no_trace_in_the_model():
    session = session_of("llava")
    before = one(session, "plain").rows
    made(session, "saliency")
    assert not [p for p in session.backbone.model.parameters() if p.grad is not None]
    assert np.array_equal(one(session, "plain").rows, before)


def test_the_logit_lens_of_the_last_layer_is_the_model_itself():
    session = session_of("llava")
    request = request_of(session)
    model = session.backbone.model
    kept = {}

    def keep(module, args, output):
        kept["states"] = output[0] if isinstance(output, tuple) else output

    handle = model.get_decoder().layers[-1].register_forward_hook(keep)
    try:
        logits = open_stream(model, dict(request.batch.inputs)).advance()
    finally:
        handle.remove()
    read = read_words(model, kept["states"][:, -1])
    assert torch.allclose(read, logits.log_softmax(-1), atol=1e-4)


def test_the_lens_map_is_the_probability_of_the_first_token():
    session = session_of("llava")
    request = request_of(session)
    tap = States()
    logits = open_stream(session.backbone.model, dict(request.batch.inputs)).advance(tap)
    # Layer 24 of 32 is 4 of 6, the last whose output is reported.
    states = tap.found[4][0, request.batch.columns[0]]
    scores = read_words(session.backbone.model, states)[:, int(logits.argmax())].exp().numpy()
    assert made(session, "lens") == pytest.approx(scores / scores.sum(), abs=1e-5)


def test_the_text_map_is_the_last_row_of_one_early_layer():
    session = session_of("llava")
    found = made(session, "text")
    rows = one(session, "plain").rows[0].mean(1)
    # Layer 2 of 32 is layer 1 of 6: an early one, but not the first.
    same = [np.allclose(found, row / row.sum(), atol=1e-5) for row in rows]
    assert np.flatnonzero(same).tolist() == [1]


def test_pruned_tokens_are_seen_by_nobody_after_that_layer():
    session = session_of("llava")
    options = {"look+prune": {"ratio": 0.5, "after": 16}}
    found = ask(session, ["plain", "look+prune"], options=options, look=BOX)
    plain, pruned = found["plain"], found["look+prune"]
    dropped = (pruned.rows[:, -1] == 0).all((0, 1))
    number = plain.rows.shape[-1]
    assert dropped.sum() == pruned.meta["notes"]["dropped"] == round(number / 2)
    assert np.array_equal(plain.rows[0, :3], pruned.rows[0, :3])


def test_what_a_dropped_token_says_cannot_matter():
    session = session_of("llava")
    request = request_of(session, {"ratio": 0.5, "after": 0})
    look = torch.rand(request.batch.columns.shape, generator=torch.Generator().manual_seed(0))
    model, inputs = session.backbone.model, request.batch.inputs
    logits = []
    for noisy in (False, True):
        tap = prune(request, look)
        dropped = tap.edits[0].values[0] > 0
        columns = request.batch.columns[0][dropped]

        def disturb(layer, states, columns=columns, noisy=noisy):
            if noisy and layer == 2:
                states.data[:, columns] += 5

        tap.layer_output = disturb
        with torch.no_grad():
            logits.append(open_stream(model, dict(inputs)).advance(tap))
    assert int(dropped.sum()) == round(len(dropped) / 2)
    assert torch.allclose(logits[0], logits[1], atol=1e-5)


@pytest.mark.parametrize("name", ["saisa", "cca"])
def test_masks_among_image_tokens_hide_and_change_something(name):
    session = session_of("llava")
    found = ask(session, ["plain", name])
    assert not np.allclose(found["plain"].rows, found[name].rows, atol=1e-4)
    assert np.allclose(found[name].mass.sum(-1), 1, atol=1e-4)


def test_rings_count_from_the_edge():
    session = session_of("llava")
    layout = request_of(session).batch.prompts[0].layout
    rings = _rings(layout).reshape(layout.grids[0].rows, layout.grids[0].columns)
    assert (rings[0] == 0).all()
    assert (rings[:, -1] == 0).all()
    assert rings.max() == (min(rings.shape) - 1) // 2


def test_an_outline_changes_the_picture_and_not_the_tokens():
    session = session_of("llava")
    found = ask(session, ["plain", "look+outline"], look=BOX)
    assert found["look+outline"].rows.shape == found["plain"].rows.shape
    assert np.array_equal(found["look+outline"].cells, found["plain"].cells, equal_nan=True)
    assert not np.allclose(found["look+outline"].rows, found["plain"].rows, atol=1e-5)


def test_aif_cuts_a_fixed_share_on_request():
    trace = one(session_of("llava"), "aif", options={"aif": {"ratio": 0.25}})
    assert trace.meta["notes"]["ratio"] == 0.25
    assert trace.meta["notes"]["cut"] == round(0.25 * trace.rows.shape[-1])
