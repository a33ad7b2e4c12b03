"""Settings and their errors."""

import pytest

from tests.support.tiny import tiny_session
from vif.errors import InputError
from vif.scenes import draw_scene
from vif.settings import Settings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning": (4, 3)}, "learning range is 4 to 3"),
        ({"injection": (5, 8)}, "layers 0 to 7"),
        ({"learning": (-1, 3)}, "layers 0 to 7"),
        ({"learning": (3, 5)}, "before the injection range"),
        ({"alpha": 1.2}, "Alpha is 1.2"),
        ({"alpha": float("nan")}, "Alpha is nan"),
        ({"stride": 0}, "stride is 0"),
        ({"samples": -1}, "samples is -1"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": 4097}, "max_new_tokens is 4097, expected at most 4096"),
        ({"seed": 10**20}, "seed is 1.*, expected at most 9223372036854775807"),
    ],
)
def test_a_bad_setting_is_named(changes, words):
    with pytest.raises(InputError, match=words):
        Settings(**changes).check(8)


def test_defaults_need_eight_layers():
    Settings().check(8)
    with pytest.raises(
        InputError, match="injection range is 5 to 7, but the model has layers 0 to 6"
    ):
        Settings().check(7)


def test_learning_layers_are_stretched_over_injection_layers():
    assert Settings().sources() == {5: 3, 6: 3, 7: 4}
    published = Settings(learning=(11, 17), injection=(25, 31), stride=2)
    assert published.sources() == {25: 11, 27: 13, 29: 15, 31: 17}
    assert Settings(learning=(1, 4), injection=(6, 7)).sources() == {6: 1, 7: 3}


def test_a_setting_of_a_method_that_is_not_asked_is_refused():
    session, image = tiny_session(), draw_scene(0, "test").image
    with pytest.raises(InputError, match=r"'pai'.*not among the requested methods: plain"):
        session.ask(image, "Is there a star?", ["plain"], options={"pai": {"alpha": 0.3}})
