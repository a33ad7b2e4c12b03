"""Random models in the shapes of real ones, and the cases that are timed on them."""

import pytest

from tests.support.tiny import tiny_session
from vif.bench.shapes import ADAPTER_SHARE, SHAPES, session_of_shape
from vif.bench.speed import ANSWER, PLAIN, measure
from vif.check.models import tiny_backbone
from vif.errors import InputError
from vif.question import Question
from vif.scenes import draw_scene
from vif.session import Session

IMAGE = draw_scene(0, "test").image


@pytest.fixture(scope="module")
def wide():
    return session_of_shape("wide", tiny_session())


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_a_wide_model_keeps_the_depth_and_reads_a_finer_grid(wide):
    assert wide.num_layers == tiny_session().num_layers
    trace = wide.ask(IMAGE, "Is there a star?", ["plain"], max_new_tokens=2)
    assert trace["plain"].rows.shape == (2, wide.num_layers, 16, 24 * 24)


def test_its_adapter_has_a_hundredth_of_its_parameters(wide):
    share = parameters(wide.adapter) / parameters(wide.backbone.model)
    assert share == pytest.approx(ADAPTER_SHARE, rel=0.5)


def test_the_number_of_image_tokens_can_be_chosen():
    session = session_of_shape("wide", tiny_session(), image_tokens=100)
    trace = session.ask(IMAGE, "Is there a star?", ["vif"], max_new_tokens=1)
    assert trace["vif"].rows.shape[-1] == 100


def test_chosen_cases_are_timed_with_what_they_are_divided_by():
    question = Question(IMAGE, "Is there a star?")
    found = measure(tiny_session(), question, ["plain"], 1, 1, chosen=("vif", "methods"))
    assert [one.base for one in found] == [PLAIN, ANSWER, PLAIN, ANSWER]
    assert found[0].ratio == found[1].ratio == 1


@pytest.mark.parametrize("name", ["wide", "llava-7b"])
def test_another_family_is_refused(name):
    with pytest.raises(InputError, match="is not a LLaVA"):
        session_of_shape(name, Session(tiny_backbone("qwen2_vl")))


def test_an_unknown_shape_is_refused():
    with pytest.raises(InputError, match=f"expected one of {', '.join(SHAPES)}"):
        session_of_shape("huge", tiny_session())
    with pytest.raises(InputError, match="remove --image-tokens"):
        session_of_shape("smolvlm-256m", tiny_session(), image_tokens=64)
