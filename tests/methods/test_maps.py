"""Maps and edits of attention: each is checked against a computation of its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.asking import (
    BOX,
    FAMILIES,
    LONGER,
    QUESTION,
    ask,
    noise,
    one,
    request_of,
    session_of,
    together_and_alone,
)
from vif import methods
from vif.check.models import tiny_backbone
from vif.errors import InputError
from vif.methods.composites import NAMED
from vif.methods.edits.base import EDITS
from vif.methods.maps.base import MAPS, ratio
from vif.methods.maps.reading import token_dynamics
from vif.methods.papers import aif
from vif.methods.prompts import GENERIC
from vif.metrics import token_entropy
from vif.model.generation import generate
from vif.question import Question
from vif.recording import Recorder


def defaults(options):
    return {option.name: option.default for option in options}


# Names


def test_any_map_meets_any_edit():
    for name in (f"{where}+{how}" for where in MAPS for how in EDITS):
        method = methods.find(name)
        assert method.name == name
        assert method.resolve({}) == defaults(method.options)
    assert methods.find("relative+cut").resolve({"layer": 3, "ratio": 0.1}) == {
        "layer": 3,
        "ratio": 0.1,
    }


def test_unknown_parts_are_listed():
    with pytest.raises(InputError, match=r"map 'nowhere'.*vif, answers, dynamics"):
        methods.find("nowhere+cut")
    with pytest.raises(InputError, match=r"edit 'hope'.*mix, bias, scale, cut, crop, mask"):
        methods.find("look+hope")
    with pytest.raises(InputError, match=r"relative\+cut"):
        methods.find("nothing")


def test_named_composites_are_the_methods_they_are_called_after():
    for composite, name in NAMED.items():
        both = ask(session_of("llava"), [composite, name], max_new_tokens=1)
        assert np.array_equal(both[composite].rows, both[name].rows)
        assert np.array_equal(both[composite].mixtures[0].map, both[name].mixtures[0].map)
        assert methods.find(name).name == name


# Maps


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", MAPS)
def test_a_map_sums_to_one_and_leaves_out_what_is_not_on_the_image(family, name):
    session, found = session_of(family), MAPS[name]
    if found.obstacle(session.backbone, session.adapter):
        pytest.skip("needs a vision tower with a CLS token")
    request = request_of(session, defaults(found.options))
    visible = ~request.batch.centres.isnan().any(-1)
    given = visible / visible.sum(1, keepdim=True)
    with torch.no_grad():
        weights = found.make(replace(request, truth=given, look=given))
    assert weights.shape == request.batch.columns.shape
    assert torch.allclose(weights.sum(1), torch.ones(1), atol=1e-5)
    assert (weights >= 0).all()
    assert (weights[~visible] == 0).all()


@pytest.mark.parametrize(
    ("name", "missing"), [("vif", "adapter"), ("look", "draw a box"), ("truth", "boxes=")]
)
def test_a_missing_requirement_of_a_map_is_reported(name, missing):
    request = replace(request_of(session_of("llava")), adapter=None)
    with pytest.raises(InputError, match=missing):
        MAPS[name].make(request)


def test_the_learned_map_is_what_vif_injects():
    session = session_of("qwen2_5_vl")
    with torch.no_grad():
        weights = MAPS["vif"].make(request_of(session))
    injected = np.mean([m.map for m in one(session, "vif").mixtures], 0)
    assert np.allclose(weights[0], injected, atol=1e-6)


def test_the_answers_map_is_what_training_free_vif_injects():
    session = session_of("qwen2_5_vl")
    with torch.no_grad():
        weights = MAPS["answers"].make(request_of(session))
    assert np.allclose(weights[0], one(session, "vif-free").mixtures[0].map, atol=1e-6)


@pytest.mark.parametrize(("name", "layers"), [("relative", [3]), ("contrast", [4])])
def test_ratios_are_those_of_two_plain_answers(name, layers):
    """Layer 14 of 32 is 3 of 6, layers 20 to 25 are 4."""
    session = session_of("llava")
    request = request_of(session, {"layer": 14, "smoothing": 1})
    with torch.no_grad():
        weights = MAPS[name].make(request)[0].numpy()
    asked, generic = (
        one(session, "plain", question=text).rows[0, layers].mean(1).astype(float)
        for text in (QUESTION, GENERIC)
    )
    floor = np.median(generic, 1, keepdims=True) if name == "contrast" else 0
    expected = (asked / (generic + floor)).sum(0)
    assert np.allclose(weights, expected / expected.sum(), atol=1e-6)


def test_a_floor_keeps_an_ignored_token_from_outshining_all_others():
    asked, generic = np.ones((2, 1, 3, 2, 50))
    generic[..., 7] = 0
    visible = np.ones((1, 50), bool)
    assert ratio(asked, generic, visible, 0)[0, 0, 7] > 1e7
    assert np.isclose(ratio(asked, generic, visible, 1)[0, 0, 7], 1)


def test_token_dynamics_equal_those_of_whole_attention_matrices():
    session = session_of("llava")
    request = request_of(session)
    with torch.no_grad():
        found = token_dynamics(request)
    answer = generate(
        session.backbone.model, dict(request.batch.inputs), Recorder(request.batch), 1
    )
    stock = tiny_backbone("llava")
    stock.uninstall()
    stock.model.set_attn_implementation("eager")
    inputs = stock.collate(request.batch.prompts)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], answer.tokens[0][None]], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        matrices = stock.model(**inputs, output_attentions=True).attentions
    columns, first = request.batch.columns[0], int(request.batch.first_row[0])
    expected = torch.stack([m[0].mean(0)[first:][:, columns].amax(0) for m in matrices])
    assert np.allclose(found[0], expected, atol=1e-5)


def test_a_token_in_one_layer_has_no_entropy_and_one_in_all_the_most():
    found = np.zeros((1, 4, 3))
    found[0, 1, 0] = 0.2
    found[0, :, 1] = 0.3
    assert np.allclose(token_entropy(found), [[0, np.log(4), np.log(4)]])


def test_a_random_place_is_drawn_by_seed_picture_and_words_alone():
    session, random = session_of("llava"), MAPS["random"].make
    both = random(request_of(session, questions=(QUESTION, LONGER)))
    request = request_of(session, questions=(QUESTION,))
    alone = random(request)
    assert torch.equal(both[:1], alone)
    assert not torch.allclose(both[0], both[1])
    others = (
        replace(request, settings=replace(session.defaults, seed=1)),
        replace(request, images=request_of(session, questions=(LONGER, QUESTION)).images[1:]),
    )
    for other in others:
        assert not torch.allclose(random(other), alone)


def test_the_random_control_moves_the_mixture_anew_for_every_question():
    session = session_of("llava")
    for many, alone in together_and_alone(session, "random"):
        assert np.allclose(many.mixtures[0].means, alone.mixtures[0].means, atol=1e-4)
    first, second = (many.mixtures[0].means for many, _ in together_and_alone(session, "random"))
    assert not np.allclose(first, second)


# Edits of attention


def first_changed(session, name, layer, **options):
    """A layer's image rows (H, N) and other mass (H,) without and with a method, at the first row.

    Up to this layer both are alike.
    """
    layers = {"injection": (layer, layer)} if layer else {}
    traces = ask(session, ["plain", name], options={name: options}, **layers)
    return [(t.rows[0, layer], 1 - t.mass[0, layer, :, 0]) for t in traces.values()]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_gives_zero_and_rescales_the_rest_by_one_factor(family):
    session = session_of(family)
    trace = one(session, "look+cut", options={"look+cut": {"ratio": 0.6}})
    on_image = ~np.isnan(trace.cells).any(1)
    is_cut = (trace.rows == 0).all((0, 1, 2))
    assert is_cut.sum() == trace.meta["notes"]["cut"] == round(0.6 * on_image.sum())
    assert (trace.rows[..., ~is_cut] > 0).all(), "in every step, layer and head"
    weights = np.array(trace.meta["notes"]["map"])
    assert weights[is_cut].max() <= weights[on_image & ~is_cut].min()
    (plain, rest), (cut, others) = first_changed(session, "look+cut", 0, ratio=0.6)
    factor = 1 / (plain[:, ~is_cut].sum(1) + rest)
    assert np.allclose(cut[:, ~is_cut], plain[:, ~is_cut] * factor[:, None], rtol=1e-4)
    assert np.allclose(others, rest * factor, rtol=1e-4)


def test_scaling_multiplies_by_the_map_and_renormalises():
    session = session_of("llava")
    (plain, rest), (scaled, others) = first_changed(session, "look+scale", 4, gamma=3.0)
    weights = np.array(one(session, "look+scale").meta["notes"]["map"])
    raised = plain * (1 + 3 * len(weights) * weights)
    total = raised.sum(1) + rest
    assert np.allclose(scaled, raised / total[:, None], atol=1e-5)
    assert np.allclose(others, rest / total, atol=1e-5)


def test_a_bias_raises_the_peak_by_beta():
    session = session_of("qwen2_5_vl")
    (plain, rest), (biased, others) = first_changed(session, "look+bias", 4, beta=3.0)
    weights = np.array(one(session, "look+bias").meta["notes"]["map"])
    raised = plain * np.exp(3 * weights / weights.max())
    total = raised.sum(1) + rest
    assert np.allclose(biased, raised / total[:, None], atol=1e-5)
    assert np.allclose(others, rest / total, atol=1e-5)


def test_mixing_any_map_moves_alpha_to_it():
    traces = ask(session_of("llava"), ["plain", "relative+mix"], alpha=0.4, injection=(4, 5))
    before, after = (trace.rows[0, 4] for trace in traces.values())
    mixture = traces["relative+mix"].mixtures[0]
    assert np.allclose(after, 0.6 * before + 0.4 * mixture.map, atol=1e-5)
    assert (mixture.strength == np.float32(0.4)).all()


@pytest.mark.parametrize("name", ["look+cut", "look+bias", "look+scale"])
def test_generated_rows_are_edited_unless_the_phase_is_prefill(name):
    session = session_of("llava")
    both, prefill = (one(session, name, phase=phase) for phase in ("both", "prefill"))
    assert np.array_equal(both.rows[0], prefill.rows[0])
    assert not np.allclose(both.rows[1], prefill.rows[1])
    if name == "look+cut":
        assert ((both.rows[1:] == 0).any(-1)).all()
        assert (prefill.rows[1:] > 0).all()


@pytest.mark.parametrize("edit", EDITS)
def test_a_map_of_zeros_changes_nothing(edit):
    session, name = session_of("llava"), f"truth+{edit}"
    items = [Question(noise(), QUESTION, "", BOX), Question(noise(), QUESTION)]
    settings = replace(session.defaults, max_new_tokens=2)
    found = session.ask_batch(items, ["plain", name], settings)
    changed = [
        np.abs(a.rows - b.rows).max() for a, b in zip(found["plain"], found[name], strict=True)
    ]
    assert changed[0] > 1e-3
    assert changed[1] < 1e-5


# AIF


def test_the_search_cuts_the_most_even_tokens():
    rng = np.random.default_rng(0)
    mean, spread = rng.uniform(0.01, 1, 40), rng.permutation(40) / 40
    chosen, dropped = aif.search(mean, spread, 0.1, 0.9)
    assert dropped.sum() == round(chosen * 40)
    assert spread[dropped].min() > spread[~dropped].max()
    base = aif.entropy(mean)
    gaps = {}
    for tenth in range(1, 10):
        kept = mean[np.argsort(spread)[: 40 - round(tenth * 4)]]
        shares = kept / kept.sum()
        gaps[tenth / 10] = abs(-(shares * np.log(shares)).sum() - base)
    assert np.isclose(chosen, max(gaps, key=gaps.get))
    assert not aif.search(mean, spread, 0, 0)[1].any()


def test_aif_cuts_by_entropy_in_all_layers_and_steps():
    session = session_of("llava_next")
    trace = one(session, "aif", options={"aif": {"least": 0.4, "most": 0.4}})
    on_image = ~np.isnan(trace.cells).any(1)
    is_cut = (trace.rows == 0).all((0, 1, 2))
    assert trace.meta["notes"]["ratio"] == 0.4
    assert is_cut.sum() == trace.meta["notes"]["cut"] == round(0.4 * on_image.sum())
    assert not is_cut[~on_image].any()
    with torch.no_grad():
        spread = token_entropy(token_dynamics(request_of(session)))[0]
    assert spread[is_cut].min() >= spread[on_image & ~is_cut].max()


def test_contradictory_ratios_are_refused():
    with pytest.raises(InputError, match=r"aif\.least"):
        one(session_of("llava"), "aif", options={"aif": {"least": 0.5, "most": 0.2}})
