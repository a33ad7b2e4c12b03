"""What tests of the page begin with: on a session without a model, but for `asked`."""

import threading

import pytest

from tests.support.fake_page import PICTURE, ask, wired
from vif.ui.actions.ask import answer
from vif.ui.state.form import Form


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    PICTURE.save(path)
    return str(path)


@pytest.fixture
def result():
    return ask()


@pytest.fixture
def wiring():
    return wired()


@pytest.fixture(scope="module")
def asked(session, image):
    """A question that was asked of a tiny model."""
    defaults = session.defaults
    form = Form(
        image, "what colour", "", ["plain", "vif"], *defaults.learning, *defaults.injection,
        1, 0.5, 0, 0, 2,
    )  # fmt: skip
    return answer(session, form, [], threading.Event())
