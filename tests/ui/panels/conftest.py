"""A question that was asked, for the panels that read its answers."""

import threading

import pytest

from vif.ui.actions.ask import answer
from vif.ui.state.form import Form


@pytest.fixture(scope="module")
def asked(session, image):
    defaults = session.defaults
    form = Form(
        image, "what colour", "", ["plain", "vif"], *defaults.learning, *defaults.injection,
        1, 0.5, 0, 0, 2,
    )  # fmt: skip
    return answer(session, form, [], threading.Event())
