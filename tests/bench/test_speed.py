"""The wide random model that recording is timed on."""

import pytest

from tests.support.tiny import tiny_session
from vif.bench.speed import widened
from vif.check.models import tiny_backbone
from vif.errors import InputError
from vif.scenes import draw_scene
from vif.session import Session


def test_a_wide_model_keeps_the_depth_and_reads_a_finer_grid():
    small = tiny_session()
    wide = widened(small)
    assert wide.num_layers == small.num_layers
    trace = wide.ask(draw_scene(0, "test").image, "Is there a star?", ["plain"], max_new_tokens=2)
    assert trace["plain"].rows.shape == (2, small.num_layers, 16, 24 * 24)


def test_another_family_is_refused():
    with pytest.raises(InputError, match="is no LLaVA"):
        widened(Session(tiny_backbone("qwen2_vl")))
